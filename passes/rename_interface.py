"""Other names for inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Input, Node, Output, Role, Update, Value


def rename_interface(graph: Graph, names: Mapping[str, str]) -> Graph:
    """`graph` with other names for its data inputs and its outputs.

    An inner value that has the new name of an input gets another one.

    Args:
        graph: anything.
        names: old name -> new name.

    Raises:
        SpecError: an old name is that of nothing, or of an input and an output; a new one is that
            of another input or output or of a weight, or empty.
    """
    if not names:
        return graph
    inputs = {entry.name for entry in graph.inputs_with(Role.DATA)}
    outputs = {entry.name for entry in graph.outputs}
    _check(graph, names, inputs, outputs)
    values = {old: new for old, new in names.items() if old in inputs}
    inner = {value.name for node in graph.nodes for value in node.outputs}
    taken = inner | {entry.name for entry in graph.inputs} | set(values.values())
    for name in sorted(inner & set(values.values())):
        values[name] = _unused(name, taken)

    def named(value: Value) -> Value:
        return Value(values[value.name], value.type) if value.name in values else value

    return Graph(
        graph.name,
        tuple(Input(named(entry.value), entry.role) for entry in graph.inputs),
        tuple(
            Node(
                node.op,
                tuple(None if value is None else named(value) for value in node.inputs),
                tuple(map(named, node.outputs)),
                node.source,
            )
            for node in graph.nodes
        ),
        tuple(
            Output(names.get(entry.name, entry.name), named(entry.value)) for entry in graph.outputs
        ),
        tuple(Update(named(entry.state), named(entry.value)) for entry in graph.updates),
    )


def _check(graph: Graph, names: Mapping[str, str], inputs: set[str], outputs: set[str]) -> None:
    where = f"graph '{graph.name}'"
    weights = {entry.name for entry in graph.inputs} - inputs
    for old, new in names.items():
        if old not in inputs | outputs:
            raise SpecError(
                f"no input or output is named '{old}'",
                where=where,
                hint=f"There are: {', '.join(sorted(inputs | outputs))}",
            )
        if old in inputs and old in outputs:
            raise SpecError(f"'{old}' is the name of an input and of an output", where=where)
        if not new.strip():
            raise SpecError(f"the new name of '{old}' is empty", where=where)
        if new in weights:
            raise SpecError(f"'{new}' is the name of a weight", where=where)
    for group in (inputs, outputs):
        renamed = [names.get(name, name) for name in sorted(group)]
        for name in renamed:
            if renamed.count(name) > 1:
                raise SpecError(f"two of them would be named '{name}'", where=where)


def _unused(wish: str, taken: set[str]) -> str:
    number = 1
    while f"{wish}_{number}" in taken:
        number += 1
    taken.add(f"{wish}_{number}")
    return f"{wish}_{number}"
