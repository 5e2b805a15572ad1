"""Transposes to the edges of the graph.

One walk in order of computation: an op that can work on the axes in any order works on its operand
as it is before the transpose, and the transpose goes behind it. There it meets the next op, or its
own inverse, or the end. A transpose that nothing uses any more is gone at once (see `Rebuild`), so
that only those stay that some op cannot do without.
"""

from __future__ import annotations

from kcompile.ir.graph import Graph, Input, Node, Role, Value
from kcompile.ir.ops import BatchNorm, Constant, Transpose
from kcompile.passes.journal import record_change
from kcompile.passes.permutations import (
    compose,
    is_identity,
    moves_only_ones,
    to_channels_first,
    to_channels_last,
)
from kcompile.passes.rebuild import Operands, Rebuild, rebuild
from kcompile.passes.transpose_rules import RULES, peel, transpose


def push_transposes(graph: Graph) -> Graph:
    """`op(transpose(x)) = transpose(op(x))`, where there are fewer transposes for it.

    Each DATA input of rank 3 or more is also tried with one transpose to channels first on entry,
    for graphs where several branches have one each.
    """
    best = graph
    while True:
        before = best
        best = _fewer(best, rebuild(best, _push))
        best = _fewer(best, rebuild(best, _push_all))
        for entry in best.inputs_with(Role.DATA):
            if entry.type.rank >= 3 and num_transposes(best) > 1:
                best = _fewer(best, _push_from_entry(best, entry.name))
        if best is before:
            break
    if best is not graph:
        record_change("push_transposes", num_transposes(graph) - num_transposes(best))
    return best


def num_transposes(graph: Graph) -> int:
    """How many transposes move data at run time: not those of weights, or of axes of size 1."""
    fixed = {entry.name for entry in graph.inputs_with(Role.PARAM, Role.STATE)}
    count = 0
    for node in graph.nodes:
        if isinstance(node.op, Constant) or all(v is None or v.name in fixed for v in node.inputs):
            fixed.update(value.name for value in node.outputs)
        elif isinstance(node.op, Transpose):
            shape = node.inputs[0].type.shape if node.inputs[0] is not None else ()
            count += not moves_only_ones(node.op.permutation, shape)
    return count


def _fewer(graph: Graph, candidate: Graph) -> Graph:
    return candidate if num_transposes(candidate) < num_transposes(graph) else graph


def _push_from_entry(graph: Graph, name: str) -> Graph:
    """`graph` pushed with the input `name` transposed to channels first, and back, on entry."""

    def enter(entry: Input, new: Rebuild) -> Value | None:
        if entry.name != name:
            return None
        rank = entry.type.rank
        first = new.emit(Transpose(to_channels_first(rank)), new.input(entry))
        return new.emit(Transpose(to_channels_last(rank)), *first)[0]

    return rebuild(graph, _push, replace_input=enter)


def _push(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """As `_push_all`, but a batch normalization of axis 1 stays one: targets have no other."""
    if isinstance(node.op, BatchNorm) and node.op.axis % node.output.type.rank == 1:
        return _keep(node, operands, new)
    return _push_all(node, operands, new)


def _push_all(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    if isinstance(node.op, Transpose):
        return _merge(node.op, operands, new, node.source)
    rule = RULES.get(type(node.op))
    results = rule(node, operands, new) if rule is not None else None
    return _keep(node, operands, new) if results is None else results


def _keep(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    settled = tuple(_settle(value, new) if value is not None else None for value in operands)
    return new.keep(node, settled) if settled != operands else None


def _merge(
    op: Transpose, operands: Operands, new: Rebuild, source: str
) -> tuple[Value, ...] | None:
    """A transpose of a transpose as one, or none."""
    peeled = peel(operands[0], new)
    if peeled is None:
        return None
    base, inner = peeled
    return (transpose(base, compose(inner, op.permutation), new, source),)


def _settle(value: Value, new: Rebuild) -> Value:
    """`value` for an op that needs its axes in this order: x, for `transpose(transpose(x))`."""
    outer = peel(value, new)
    inner = peel(outer[0], new) if outer is not None else None
    if outer is None or inner is None or not is_identity(compose(inner[1], outer[1])):
        return value
    return inner[0]
