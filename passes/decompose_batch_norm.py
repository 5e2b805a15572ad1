"""Batch normalization of other axes than targets have it for."""

from __future__ import annotations

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Add, BatchNorm, Cast, Multiply, Reshape
from kcompile.passes.affine import batch_norm_pattern, scale_and_shift
from kcompile.passes.pattern import ANY, Match, apply_rules, rule


@rule(batch_norm_pattern(ANY("x"), leaf=ANY))
def batch_norm_of_another_axis(match: Match) -> Value | None:
    """`batch_norm(x) = x * scale + shift` where the channels are not axis 1."""
    x = match.value("x")
    axis = match.op("norm", BatchNorm).axis % x.type.rank
    if axis == 1:
        return None
    shape = tuple(size if i == axis else 1 for i, size in enumerate(x.type.shape))
    scale, shift = (
        match.emit(Reshape(shape[axis:]), _in_type_of(match, x, vector))
        for vector in scale_and_shift(match)
    )
    return match.emit(Add(), match.emit(Multiply(), x, scale), shift)


def _in_type_of(match: Match, x: Value, vector: Value) -> Value:
    same = vector.type.dtype is x.type.dtype
    return vector if same else match.emit(Cast(x.type.dtype), vector)


RULES = (batch_norm_of_another_axis,)


def decompose_batch_norm(graph: Graph) -> Graph:
    """`graph` with batch normalizations of axis 1 only; others become arithmetic."""
    return apply_rules(graph, RULES)
