"""Dead values."""

from __future__ import annotations

from kcompile.ir.graph import Graph, Role


def eliminate_dead_values(graph: Graph) -> Graph:
    """`graph` without nodes and weights that neither an output nor an update needs.

    DATA inputs stay: they are the calling convention.
    """
    needed = {output.value.name for output in graph.outputs}
    needed |= {name for u in graph.updates for name in (u.state.name, u.value.name)}
    nodes = []
    for node in reversed(graph.nodes):
        if any(value.name in needed for value in node.outputs):
            nodes.append(node)
            needed.update(value.name for value in node.inputs if value is not None)
    inputs = tuple(e for e in graph.inputs if e.role is Role.DATA or e.name in needed)
    if len(nodes) == len(graph.nodes) and inputs == graph.inputs:
        return graph
    return Graph(graph.name, inputs, tuple(reversed(nodes)), graph.outputs, graph.updates)
