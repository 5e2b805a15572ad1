"""Inputs that are given channels first."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Input, Role, Value
from kcompile.ir.ops import Transpose
from kcompile.passes.permutations import to_channels_first, to_channels_last
from kcompile.passes.rebuild import Rebuild, rebuild


def take_channels_first(graph: Graph, names: Sequence[str]) -> Graph:
    """`graph` with the inputs `[N, S..., C]` of these names as `[N, C, S...]`.

    `f(x) = g(transpose(x))`, where g is `graph`: it is the caller that transposes no longer.

    Raises:
        SpecError: there is no such data input, or it has no axis between batch and channels.
    """
    where = f"graph '{graph.name}'"
    known = {entry.name: entry for entry in graph.inputs_with(Role.DATA)}
    for name in names:
        if name not in known:
            raise SpecError(
                f"there is no input '{name}' to take channels first",
                where=where,
                hint=f"The inputs are: {', '.join(known)}",
            )
        if known[name].type.rank < 3:
            raise SpecError(
                f"the input {known[name].value} has no axis between batch and channels",
                where=where,
            )

    def replace_input(entry: Input, new: Rebuild) -> Value | None:
        if entry.name not in names:
            return None
        rank = entry.type.rank
        shape = [entry.type.shape[axis] for axis in to_channels_first(rank)]
        given = new.input(Input(Value(entry.name, entry.type.with_shape(shape)), entry.role))
        return new.emit(Transpose(to_channels_last(rank)), given)[0]

    return rebuild(graph, replace_input=replace_input) if names else graph
