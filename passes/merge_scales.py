"""Chains of scalings.

onnxruntime (1.32) makes an invalid graph of two scalings in a row of which both results go into
products with constants, and refuses it; one scaling each is also less to do.
"""

from __future__ import annotations

import math

import numpy as np

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.ops import Divide, Multiply
from kcompile.ir.types import DType
from kcompile.passes.constants import uniform_number
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, Refused, apply_rules, rule

#: The relative error of rounding a number that is neither too large nor too small.
_ROUNDING = {
    DType.FLOAT16: 2**-11,
    DType.BFLOAT16: 2**-8,
    DType.FLOAT32: 2**-24,
    DType.FLOAT64: 2**-53,
}

#: The first of two numbers may be as great where the second is small, and the other way round.
_ROOM = {
    DType.FLOAT16: 1.0,
    DType.BFLOAT16: 2.0**40,
    DType.FLOAT32: 2.0**40,
    DType.FLOAT64: 2.0**400,
}


def _scale(match: Match, node: Node, constant: str) -> float | None:
    """The number that a node multiplies by."""
    number = uniform_number(match.value(constant), match.new)
    if number is None or not isinstance(node.op, Divide):
        return number
    return 1 / number if number else None


# The inner node may have other uses: the outer one just does without it.
@rule(
    P(
        Multiply,
        P(Multiply, ANY("x"), CONSTANT("inner"), commutative=True, name="first", shared=True),
        CONSTANT("outer"),
        commutative=True,
        name="second",
    )
)
def product_of_product(match: Match) -> Value | None:
    """`(x * a) * b = x * (a * b)` for numbers a and b."""
    return _merged(match)


@rule(
    P(
        Divide,
        P(Multiply, ANY("x"), CONSTANT("inner"), commutative=True, name="first", shared=True),
        CONSTANT("outer"),
        name="second",
    )
)
def quotient_of_product(match: Match) -> Value | None:
    """`(x * a) / b = x * (a / b)` for numbers a and b."""
    return _merged(match)


@rule(
    P(
        Multiply,
        P(Divide, ANY("x"), CONSTANT("inner"), name="first", shared=True),
        CONSTANT("outer"),
        commutative=True,
        name="second",
    )
)
def product_of_quotient(match: Match) -> Value | None:
    """`(x / a) * b = x * (b / a)` for numbers a and b."""
    return _merged(match)


@rule(
    P(
        Divide,
        P(Divide, ANY("x"), CONSTANT("inner"), name="first", shared=True),
        CONSTANT("outer"),
        name="second",
    )
)
def quotient_of_quotient(match: Match) -> Value | None:
    """`(x / a) / b = x * (1 / (a * b))` for numbers a and b."""
    return _merged(match)


def _merged(match: Match) -> Value | None:
    x, result = match.value("x"), match.root.output
    factors = (
        _scale(match, match.node("first"), "inner"),
        _scale(match, match.node("second"), "outer"),
    )
    if x.type != result.type or not x.type.dtype.is_floating or None in factors:
        return None
    exact = math.prod(factors)  # type: ignore[arg-type]
    with np.errstate(over="ignore", under="ignore"):
        product = np.asarray(exact).astype(x.type.dtype.numpy)
    if not _keeps_range(factors, x.type.dtype):  # type: ignore[arg-type]
        raise Refused("one number is great and the other small: what is between may overflow")
    if not abs(float(product) - exact) <= abs(exact) * _ROUNDING[x.type.dtype]:
        raise Refused(f"the product of the numbers, {exact:g}, loses digits")
    return match.emit(Multiply(), x, match.new.constant(product))


def _keeps_range(factors: tuple[float, float], dtype: DType) -> bool:
    """Whether what overflows between the two does so at the end, but for the farthest numbers."""
    first, second = map(abs, factors)
    if (first <= 1) == (second <= 1):
        return True
    room = _ROOM[dtype]
    return 1 / room <= first <= room


RULES = (product_of_product, quotient_of_product, product_of_quotient, quotient_of_quotient)


def merge_scales(graph: Graph) -> Graph:
    """`graph` with chains of multiplications and divisions by numbers as one."""
    return apply_rules(graph, RULES)
