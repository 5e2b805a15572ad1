"""Transposes of transposes."""

from __future__ import annotations

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Reshape, Transpose
from kcompile.passes.pattern import ANY, Match, P, apply_rules, rule
from kcompile.passes.permutations import compose, is_identity, moves_only_ones


# The inner transpose may have other uses: the outer one just does without it.
@rule(P(Transpose, P(Transpose, ANY("x"), name="inner", shared=True), name="outer"))
def transpose_of_transpose(match: Match) -> Value:
    """`transpose(transpose(x, p), q) = transpose(x, p after q)`."""
    inner, outer = match.op("inner", Transpose), match.op("outer", Transpose)
    permutation = compose(inner.permutation, outer.permutation)
    return match.emit(Transpose(permutation), match.value("x"))


@rule(P(Transpose, ANY("x"), where=lambda op: is_identity(op.permutation)))
def transpose_to_same_order(match: Match) -> Value:
    """`transpose(x, identity) = x`."""
    return match.value("x")


@rule(P(Transpose, ANY("x"), name="transpose"))
def transpose_of_ones(match: Match) -> Value | None:
    """`transpose(x, p) = reshape(x)` where p moves only axes of size 1."""
    x, permutation = match.value("x"), match.op("transpose", Transpose).permutation
    if not moves_only_ones(permutation, x.type.shape):
        return None
    return match.emit(Reshape(match.root.output.type.shape), x)


RULES = (transpose_of_transpose, transpose_to_same_order, transpose_of_ones)


def merge_transposes(graph: Graph) -> Graph:
    """`graph` with chains of transposes as one, without those that move no elements."""
    return apply_rules(graph, RULES)
