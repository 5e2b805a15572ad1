"""Weights into the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Input, Role, Value
from kcompile.ir.literal import Literal
from kcompile.passes.rebuild import Rebuild, rebuild


def bind_weights(graph: Graph, weights: Mapping[str, Any]) -> Graph:
    """`graph` with its PARAM and STATE inputs as constants that keep their names.

    Args:
        graph: without updates (see `to_inference`).
        weights: an array for each of those inputs, by name; others are not looked at.

    Raises:
        SpecError: an array is missing or has another type than the input, or there are updates.
    """
    where = f"graph '{graph.name}'"
    if graph.updates:
        raise SpecError(
            f"the state %{graph.updates[0].state.name} is updated and cannot become a constant",
            where=where,
            hint="Run to_inference first",
        )
    wanted = graph.inputs_with(Role.PARAM, Role.STATE)
    if missing := [entry.name for entry in wanted if entry.name not in weights]:
        raise SpecError(
            f"no weights for {', '.join(missing)}",
            where=where,
            hint=f"Given are: {', '.join(sorted(weights)) or 'none'}",
        )

    def replace_input(entry: Input, new: Rebuild) -> Value | None:
        if entry.role not in (Role.PARAM, Role.STATE):
            return None
        literal = Literal(np.asarray(weights[entry.name]))
        if literal.type != entry.type:
            raise SpecError(
                f"the {entry.role} {entry.value} was given as {literal.type}",
                where=where,
                hint="Give an array of the declared element type and shape",
            )
        return new.constant(literal.array, name=entry.name)

    return rebuild(graph, replace_input=replace_input)
