"""Shapes of inputs for symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kcompile.ir.dims import Dim
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.types import TensorType, format_shape
from kcompile.passes.specialize import specialize

#: A number, or None for a size that stays as it is.
Shape = Sequence[int | None]


def give_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """`graph` with numbers for the symbolic sizes of the inputs of these names.

    An axis of another input that has the same symbol gets the same number.

    Raises:
        SpecError: there is no such input, its shape is another one, or a symbol gets two numbers.
        ShapeError: the ops do not accept these sizes.
    """
    where = f"graph '{graph.name}'"
    known = {entry.name: entry for entry in graph.inputs_with(Role.DATA)}
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in known:
            raise SpecError(
                f"there is no input '{name}' to give a shape",
                where=where,
                hint=f"The inputs are: {', '.join(known)}",
            )
        for symbol, number in _numbers(name, known[name].type, shape, where).items():
            if sizes.setdefault(symbol, number) != number:
                raise SpecError(
                    f"the size '{symbol}' would be {sizes[symbol]} and {number}", where=where
                )
    return specialize(graph, sizes)


def _numbers(name: str, type: TensorType, shape: Shape, where: str) -> dict[str, int]:
    """The numbers that `shape` gives the symbols in the declared type of an input."""
    given = format_shape("?" if size is None else size for size in shape)  # type: ignore[misc]
    refused = SpecError(f"the input '{name}' is {type}, and the shape given {given}", where=where)
    if len(shape) != type.rank:
        raise refused
    found: dict[str, int] = {}
    for declared, number in zip(type.shape, shape, strict=True):
        if number is None or declared == number:
            continue
        if not isinstance(declared, Dim) or not declared.is_symbol:
            raise refused
        if found.setdefault(str(declared), number) != number:
            raise refused
    return found
