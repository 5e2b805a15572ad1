"""Reshapes of reshapes."""

from __future__ import annotations

import dataclasses

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Reshape
from kcompile.passes.pattern import ANY, Match, P, apply_rules, rule
from kcompile.passes.transpose_rules import REDUCTIONS


# The inner reshape may have other uses: the outer one just does without it.
@rule(P(Reshape, P(Reshape, ANY("x"), shared=True), name="outer"))
def reshape_of_reshape(match: Match) -> Value:
    """`reshape(reshape(x, s), t) = reshape(x, t)`."""
    return match.emit(match.node("outer").op, match.value("x"))


@rule(P(Reshape, ANY("x"), name="reshape"))
def reshape_to_same_shape(match: Match) -> Value | None:
    """`reshape(x, shape of x) = x`."""
    x = match.value("x")
    return x if x.type == match.root.output.type else None


@rule(
    P(
        Reshape,
        P(REDUCTIONS, ANY("x"), name="reduction"),
        name="reshape",
    )
)
def reshape_of_reduction(match: Match) -> Value | None:
    """`reshape(reduce(x))` keeps the reduced axes with size 1, where that is the new shape."""
    node, x = match.node("reduction"), match.value("x")
    assert isinstance(node.op, REDUCTIONS)
    kept = dataclasses.replace(node.op, keepdims=True)
    if node.op == kept or kept.infer(x.type) != match.root.output.type:
        return None
    return match.emit(kept, x, source=node.source)


RULES = (reshape_of_reshape, reshape_to_same_shape, reshape_of_reduction)


def merge_reshapes(graph: Graph) -> Graph:
    """`graph` without reshapes of reshapes and without those that change nothing."""
    return apply_rules(graph, RULES)
