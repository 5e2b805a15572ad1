"""Activations that targets have as one op.

For inference only: where two branches meet, the gradients of the two sides differ.
"""

from __future__ import annotations

import math

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Clip, Log, LogSoftmax, Maximum, Minimum, Relu, Softmax
from kcompile.passes.constants import uniform_number
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, Refused, apply_rules, rule

#: Below this every integer is a float64, in which a clip keeps its limits.
_EXACT = 2**53


@rule(P(Maximum, ANY("x"), CONSTANT("zero"), commutative=True))
def maximum_with_zero(match: Match) -> Value | None:
    """`max(x, 0) = relu(x)` for floating-point x."""
    x = match.value("x")
    if uniform_number(match.value("zero"), match.new) != 0 or not x.type.dtype.is_floating:
        return None
    return match.emit(Relu(), x) if x.type == match.root.output.type else None


def _clip(match: Match, low: float, high: float) -> Value | None:
    x = match.value("x")
    if x.type != match.root.output.type:
        return None
    if not low <= high:
        raise Refused(f"the interval [{low}, {high}] is empty")
    limits = [abs(number) for number in (low, high) if math.isfinite(number)]
    if x.type.dtype.is_integer and max(limits, default=0) >= _EXACT:
        raise Refused("a clip cannot hold integers this large")
    return match.emit(Clip(low, high), x)


def _limits(match: Match) -> tuple[float, float] | None:
    low, high = (uniform_number(match.value(name), match.new) for name in ("low", "high"))
    return None if low is None or high is None else (low, high)


@rule(
    P(
        Minimum,
        P(Maximum, ANY("x"), CONSTANT("low"), commutative=True),
        CONSTANT("high"),
        commutative=True,
    )
)
def minimum_of_maximum(match: Match) -> Value | None:
    """`min(max(x, low), high) = clip(x, low, high)`."""
    limits = _limits(match)
    return None if limits is None else _clip(match, *limits)


@rule(
    P(
        Maximum,
        P(Minimum, ANY("x"), CONSTANT("high"), commutative=True),
        CONSTANT("low"),
        commutative=True,
    )
)
def maximum_of_minimum(match: Match) -> Value | None:
    """`max(min(x, high), low) = clip(x, low, high)` where `low <= high`."""
    limits = _limits(match)
    return None if limits is None else _clip(match, *limits)


@rule(P(Minimum, P(Relu, ANY("x")), CONSTANT("high"), commutative=True))
def minimum_of_relu(match: Match) -> Value | None:
    """`min(relu(x), high) = clip(x, 0, high)`."""
    high = uniform_number(match.value("high"), match.new)
    return None if high is None else _clip(match, 0.0, high)


@rule(P(Log, P(Softmax, ANY("x"), name="softmax")))
def log_of_softmax(match: Match) -> Value:
    """`log(softmax(x)) = log_softmax(x)`, which does not underflow."""
    return match.emit(LogSoftmax(match.op("softmax", Softmax).axis), match.value("x"))


RULES = (
    *(maximum_of_minimum, maximum_with_zero, minimum_of_maximum, minimum_of_relu),
    log_of_softmax,
)


def fuse_activations(graph: Graph) -> Graph:
    """`graph` with relu, clip and log-softmax in place of what spells them out."""
    return apply_rules(graph, RULES)
