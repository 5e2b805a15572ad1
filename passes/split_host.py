"""What an accelerator cannot hold, set apart: strings, and what is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kcompile.ir.errors import ExportError
from kcompile.ir.graph import Graph, Input, Node, Output, Role, Value
from kcompile.ir.types import DType


@dataclass(frozen=True)
class HostSplit:
    """Three graphs that compute what one did, in this order. Values keep their names.

    Attributes:
        before: on the host, from DATA inputs alone; its outputs are named as their values.
        device: holds no strings; what it needs from `before` are DATA inputs. None if the host
            computes everything.
        after: on the host, from inputs and from values of the other two (of the device those that
            are named by `to_host`); gives outputs of the graph.
    """

    before: Graph | None
    device: Graph | None
    after: Graph | None


def needs_host(graph: Graph) -> bool:
    """Whether a value of `graph` is a string, or an op is the host's."""
    return any(_is_string(entry.value) for entry in graph.inputs) or any(
        map(_is_host_node, graph.nodes)
    )


def split_host(graph: Graph) -> HostSplit:
    """`graph` as a part before, one for the device, and a part after.

    Raises:
        ExportError: a state's next value is computed from strings.
    """
    if not needs_host(graph):
        return HostSplit(None, graph, None)
    before = _before(graph)
    after = _after(graph, _made(before))
    apart = _made(before) | _made(after)
    device = [node for node in graph.nodes if node.outputs[0].name not in apart]
    strings = {output.value.name for output in graph.outputs if _is_string(output.value)}
    late = _made(after) | strings
    _check_updates(graph, late)
    returned = tuple(output for output in graph.outputs if output.value.name in late)
    kept = tuple(output for output in graph.outputs if output.value.name not in late)
    after_part = _part(graph, after, returned) if returned else None
    wanted = [entry.value for entry in after_part.inputs] if after_part is not None else []
    given = _made(device)
    kept += tuple(Output(to_host(v.name), v) for v in wanted if v.name in given)
    updated = tuple(Output(update.state.name, update.value) for update in graph.updates)
    crossing = [v for v in _operands(device, (*kept, *updated)) if v.name in _made(before)]
    inputs = [entry for entry in graph.inputs if not _is_string(entry.value)]
    inputs += [Input(value, Role.DATA) for value in crossing]
    early = dict.fromkeys(crossing + [value for value in wanted if value.name in _made(before)])
    return HostSplit(
        _part(graph, before, tuple(Output(value.name, value) for value in early))
        if early
        else None,
        Graph(graph.name, tuple(inputs), tuple(device), kept, graph.updates)
        if kept or updated
        else None,
        after_part,
    )


def to_host(name: str) -> str:
    """The name of the device's output that gives the value `name` to the part after it."""
    return f"{name} to host"


def _check_updates(graph: Graph, late: set[str]) -> None:
    for update in graph.updates:
        if update.value.name in late:
            raise ExportError(
                f"the next value of %{update.state.name} is computed from strings",
                where=f"graph '{graph.name}'",
            )


def _made(nodes: Iterable[Node]) -> set[str]:
    return {value.name for node in nodes for value in node.outputs}


def _is_string(value: Value) -> bool:
    return value.type.dtype is DType.STRING


def _is_host_node(node: Node) -> bool:
    values = [*node.inputs, *node.outputs]
    return node.op.on_host or any(_is_string(value) for value in values if value is not None)


def _before(graph: Graph) -> list[Node]:
    """The host's nodes that depend on data alone, and what they need."""
    known = {entry.name for entry in graph.inputs_with(Role.DATA)}
    from_data = []
    for node in graph.nodes:
        if all(value.name in known for value in node.inputs if value is not None):
            from_data.append(node)
            known.update(value.name for value in node.outputs)
    needed: set[str] = set()
    kept = []
    for node in reversed(from_data):
        if _is_host_node(node) or any(value.name in needed for value in node.outputs):
            kept.append(node)
            needed.update(value.name for value in node.inputs if value is not None)
    return kept[::-1]


def _after(graph: Graph, before: set[str]) -> list[Node]:
    """The host's other nodes, and all that depends on them."""
    late: set[str] = set()
    kept = []
    for node in graph.nodes:
        names = {value.name for value in node.inputs if value is not None}
        is_done = node.outputs[0].name in before
        if (_is_host_node(node) and not is_done) or names & late:
            kept.append(node)
            late.update(value.name for value in node.outputs)
    return kept


def _operands(nodes: Sequence[Node], outputs: Iterable[Output]) -> list[Value]:
    """The values that nodes and outputs use and that the nodes do not make, in order."""
    made = _made(nodes)
    used = [value for node in nodes for value in node.inputs if value is not None]
    used += [output.value for output in outputs]
    return list(dict.fromkeys(value for value in used if value.name not in made))


def _part(graph: Graph, nodes: list[Node], outputs: tuple[Output, ...]) -> Graph:
    inputs = tuple(Input(value, Role.DATA) for value in _operands(nodes, outputs))
    return Graph(graph.name, inputs, tuple(nodes), outputs, ())
