"""Numbers for symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Input, Node, Value
from kcompile.passes.rebuild import Operands, Rebuild, rebuild


def specialize(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """`graph` with numbers in place of the symbols in `sizes`, in types and in attributes.

    Raises:
        SpecError: a symbol is not in the graph, or a number is not positive.
        ShapeError: the ops do not accept these sizes.
    """
    where = f"graph '{graph.name}'"
    for symbol, number in sizes.items():
        if symbol not in graph.symbols:
            raise SpecError(
                f"no axis has the symbolic size '{symbol}'",
                where=where,
                hint=f"Its symbols are: {', '.join(graph.symbols) or 'none'}",
            )
        if number < 1:
            raise SpecError(f"'{symbol}' must be at least 1, got {number}", where=where)

    def replace_input(entry: Input, new: Rebuild) -> Value:
        return new.input(Input(Value(entry.name, entry.type.substitute(sizes)), entry.role))

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...]:
        return new.keep(node, operands, node.op.bind(sizes))

    return rebuild(graph, transform, replace_input=replace_input) if sizes else graph
