"""Loops and branches: passes inside of them, and operands that nothing inside uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.ops import If, Scan
from kcompile.ir.ops.control import graphs_of, loose_symbols, with_graphs
from kcompile.passes.rebuild import Operands, Rebuild


def rewrite_sub_graphs(
    node: Node, operands: Operands, new: Rebuild, rewrite: Callable[[Graph], Graph]
) -> tuple[Value, ...] | None:
    """The results of a node whose sub-graphs are rewritten and need fewer operands perhaps.

    None for a node without sub-graphs.
    """
    graphs = graphs_of(node.op)
    if not graphs:
        return None
    rewritten = [rewrite(graph) for graph in graphs]
    first = 1 if isinstance(node.op, If) else 0
    num_fixed = getattr(node.op, "num_carries", 0)
    sequences = range(num_fixed, num_fixed + getattr(node.op, "num_sequences", 0))
    kept = list(range(len(graphs[0].inputs)))
    for position in kept[num_fixed:][::-1]:
        fewer = [i for i in kept if i != position]
        only_sequence = position in sequences and not any(i in sequences for i in fewer)
        if not only_sequence and all(_can_do_with(graph, fewer) for graph in rewritten):
            kept = fewer
    rewritten = [_with_inputs(graph, kept) for graph in rewritten]
    op = with_graphs(node.op, rewritten)
    if op is node.op:
        return None
    if isinstance(op, Scan):
        op = dataclasses.replace(op, num_sequences=sum(i in sequences for i in kept))
    chosen = tuple(operands[first + i] for i in kept)
    return new.keep(node, (*operands[:first], *chosen), op)


def _can_do_with(graph: Graph, kept: list[int]) -> bool:
    dropped = [entry for i, entry in enumerate(graph.inputs) if i not in kept]
    if any(graph.uses.get(entry.name) for entry in dropped):
        return False
    return not loose_symbols(graph.nodes, [graph.inputs[i] for i in kept])


def _with_inputs(graph: Graph, kept: list[int]) -> Graph:
    if len(kept) == len(graph.inputs):
        return graph
    return dataclasses.replace(graph, inputs=tuple(graph.inputs[i] for i in kept))
