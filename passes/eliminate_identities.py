"""Ops that change nothing, or nothing more."""

from __future__ import annotations

import math

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import (
    Absolute,
    Add,
    BroadcastTo,
    Cast,
    Clip,
    Concatenate,
    Divide,
    Dropout,
    LogicalNot,
    Multiply,
    Negative,
    Pad,
    Power,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    Relu,
    Slice,
    Subtract,
)
from kcompile.passes.constants import is_negative_zero, uniform_number
from kcompile.passes.merge_reshapes import reshape_to_same_shape
from kcompile.passes.merge_transposes import transpose_to_same_order
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, Refused, apply_rules, rule


def _if_same_type(match: Match) -> Value | None:
    """x, unless the root broadcasts or casts it."""
    x = match.value("x")
    return x if x.type == match.root.output.type else None


def _neutral(match: Match, number: float) -> Value | None:
    if uniform_number(match.value("constant"), match.new) != number:
        return None
    return _if_same_type(match)


def _zero_of_sign(match: Match, negative: bool) -> Value | None:
    """x if the constant is the zero with which the sum is x, also for x = -0.0."""
    x = _neutral(match, 0)
    if x is None or x.type.dtype.is_integer:
        return x
    number = uniform_number(match.value("constant"), match.new)
    if number is None or is_negative_zero(number) != negative:
        raise Refused("it makes 0.0 of -0.0")
    return x


@rule(P(Add, ANY("x"), CONSTANT("constant"), commutative=True))
def add_zero(match: Match) -> Value | None:
    """`x + -0.0 = x`; for integers `x + 0 = x`."""
    return _zero_of_sign(match, negative=True)


@rule(P(Subtract, ANY("x"), CONSTANT("constant")))
def subtract_zero(match: Match) -> Value | None:
    """`x - 0 = x`."""
    return _zero_of_sign(match, negative=False)


@rule(P(Multiply, ANY("x"), CONSTANT("constant"), commutative=True))
def multiply_by_one(match: Match) -> Value | None:
    """`x * 1 = x`."""
    return _neutral(match, 1)


@rule(P((Divide, Power), ANY("x"), CONSTANT("constant")))
def divide_by_one(match: Match) -> Value | None:
    """`x / 1 = x` and `x^1 = x`."""
    return _neutral(match, 1)


@rule(P((Cast, BroadcastTo), ANY("x")))
def convert_to_same_type(match: Match) -> Value | None:
    """`cast(x, dtype of x) = x` and `broadcast_to(x, shape of x) = x`."""
    return _if_same_type(match)


@rule(P(Pad, ANY("x"), where=lambda op: all(pair == (0, 0) for pair in op.widths)))
def pad_by_nothing(match: Match) -> Value:
    """`pad(x, 0) = x`."""
    return match.value("x")


@rule(P(Slice, ANY("x"), name="slice"))
def slice_everything(match: Match) -> Value | None:
    """`x[0:size] = x`."""
    x, op = match.value("x"), match.op("slice", Slice)
    rank = x.type.rank
    whole = Slice((0,) * rank, x.type.shape, (1,) * rank)
    return x if op == whole else None


@rule(P(Concatenate, ANY("x")))
def concatenate_one(match: Match) -> Value:
    """`concatenate(x) = x`."""
    return match.value("x")


@rule(
    P(
        (ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum),
        ANY("x"),
        where=lambda op: op.axes == (),
    )
)
def reduce_no_axes(match: Match) -> Value:
    """`reduce(x, no axes) = x`."""
    return match.value("x")


@rule(P(Dropout, ANY("x"), ANY("rng"), where=lambda op: op.rate == 0))
def drop_nothing(match: Match) -> Value:
    """`dropout(x, rate 0) = x`."""
    return match.value("x")


# Inner nodes may have other uses from here on: the outer ones just do without them.


@rule(P(Negative, P(Negative, ANY("x"), shared=True)))
def negative_of_negative(match: Match) -> Value:
    """`-(-x) = x`."""
    return match.value("x")


@rule(P(LogicalNot, P(LogicalNot, ANY("x"), shared=True)))
def not_of_not(match: Match) -> Value:
    """`not not x = x`."""
    return match.value("x")


@rule(P(Absolute, P((Absolute, Negative), ANY("x"), shared=True)))
def absolute_of_absolute(match: Match) -> Value:
    """`||x|| = |x|` and `|-x| = |x|`."""
    return match.emit(Absolute(), match.value("x"))


@rule(P(Relu, P(Relu, ANY("x"), shared=True)))
def relu_of_relu(match: Match) -> Value:
    """`relu(relu(x)) = relu(x)`."""
    return match.emit(Relu(), match.value("x"))


@rule(P((Clip, Relu), P((Clip, Relu), ANY("x"), name="inner", shared=True), name="outer"))
def clip_of_clip(match: Match) -> Value | None:
    """`clip(clip(x, a, b), c, d) = clip(x, max(a, c), min(b, d))` where the intervals meet.

    `relu` is a clip to [0, inf].
    """
    inner, outer = (_interval(match.node(name).op) for name in ("inner", "outer"))
    low, high = max(inner[0], outer[0]), min(inner[1], outer[1])
    if not (inner[0] <= inner[1] and outer[0] <= outer[1]):
        raise Refused("a clip to an empty interval")
    if not low <= high:
        raise Refused(f"the intervals {list(inner)} and {list(outer)} do not meet")
    return match.emit(Clip(low, high), match.value("x"))


def _interval(op: object) -> tuple[float, float]:
    return (op.minimum, op.maximum) if isinstance(op, Clip) else (0.0, math.inf)


RULES = (
    *(add_zero, subtract_zero, multiply_by_one, divide_by_one, convert_to_same_type),
    *(reshape_to_same_shape, transpose_to_same_order, pad_by_nothing, slice_everything),
    *(concatenate_one, reduce_no_axes, drop_nothing),
    *(negative_of_negative, not_of_not, absolute_of_absolute, relu_of_relu, clip_of_clip),
)


def eliminate_identities(graph: Graph) -> Graph:
    """`graph` without ops that give back their operand, bit for bit."""
    return apply_rules(graph, RULES)
