"""Ops on each element by itself; operands of two or three broadcast as in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import DType, TensorType, broadcast_shapes


class _Unary(Op):
    """`y = f(x)`, of the type of x, which is numeric."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_numeric, "needs numbers")
        return x


class _FloatUnary(Op):
    """`y = f(x)`, of the type of x, which is floating."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        return x


class _FloatTest(Op):
    """`y = f(x)`, a bool for each floating-point element."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        return x.with_dtype(DType.BOOL)


def _broadcast(a: TensorType, b: TensorType) -> TensorType:
    require(a.dtype is b.dtype, "the two element types must be the same")
    return TensorType(a.dtype, broadcast_shapes(a.shape, b.shape))


class _Binary(Op):
    """`y = f(a, b)`, of the numeric element type that a and b share."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype.is_numeric, "needs numbers")
        return _broadcast(a, b)


class _Comparison(Op):
    """`y = f(a, b)`, a bool, of the element type that a and b share."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        return _broadcast(a, b).with_dtype(DType.BOOL)


class _Ordering(_Comparison):
    """A comparison that needs an order: numbers only."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype.is_numeric, "needs numbers")
        return super().infer(a, b)


class _Logical(Op):
    """`y = f(a, b)` on bools."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype is DType.BOOL, "needs bools")
        return _broadcast(a, b)


@dataclass(frozen=True)
class Negative(_Unary):
    """`y = -x`."""

    def reference(self, x: Array) -> Array:
        return np.negative(x)


@dataclass(frozen=True)
class Absolute(_Unary):
    """`y = |x|`."""

    def reference(self, x: Array) -> Array:
        return np.abs(x)


@dataclass(frozen=True)
class Sign(_Unary):
    """`y = -1, 0 or 1`, as x is negative, zero or positive; NaN stays."""

    def reference(self, x: Array) -> Array:
        return np.sign(x)


@dataclass(frozen=True)
class Floor(_FloatUnary):
    """`y`: the greatest integer that is at most x."""

    def reference(self, x: Array) -> Array:
        return np.floor(x)


@dataclass(frozen=True)
class Ceil(_FloatUnary):
    """`y`: the least integer that is at least x."""

    def reference(self, x: Array) -> Array:
        return np.ceil(x)


@dataclass(frozen=True)
class Round(_FloatUnary):
    """`y`: the nearest integer, halves to even."""

    def reference(self, x: Array) -> Array:
        return np.rint(x)


@dataclass(frozen=True)
class Exp(_FloatUnary):
    """`y = e^x`."""

    def reference(self, x: Array) -> Array:
        return np.exp(x)


@dataclass(frozen=True)
class Expm1(_FloatUnary):
    """`y = e^x - 1`, precise near 0."""

    def reference(self, x: Array) -> Array:
        return np.expm1(x)


@dataclass(frozen=True)
class Log(_FloatUnary):
    """`y = ln x`; NaN below 0, -inf at 0."""

    def reference(self, x: Array) -> Array:
        return np.log(x)


@dataclass(frozen=True)
class Log1p(_FloatUnary):
    """`y = ln(1 + x)`, precise near 0."""

    def reference(self, x: Array) -> Array:
        return np.log1p(x)


@dataclass(frozen=True)
class Sqrt(_FloatUnary):
    """`y = x^(1/2)`; NaN below 0."""

    def reference(self, x: Array) -> Array:
        return np.sqrt(x)


@dataclass(frozen=True)
class Rsqrt(_FloatUnary):
    """`y = x^(-1/2)`; NaN below 0, inf at 0."""

    def reference(self, x: Array) -> Array:
        return (1.0 / np.sqrt(x)).astype(x.dtype)


@dataclass(frozen=True)
class Sin(_FloatUnary):
    """`y = sin x`, x in radians."""

    def reference(self, x: Array) -> Array:
        return np.sin(x)


@dataclass(frozen=True)
class Cos(_FloatUnary):
    """`y = cos x`, x in radians."""

    def reference(self, x: Array) -> Array:
        return np.cos(x)


@dataclass(frozen=True)
class Erf(_FloatUnary):
    """`y = 2 / sqrt(pi) * integral of e^(-t^2) over t from 0 to x`."""

    def reference(self, x: Array) -> Array:
        return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


@dataclass(frozen=True)
class IsNan(_FloatTest):
    """`y`: whether x is NaN."""

    def reference(self, x: Array) -> Array:
        return np.isnan(x)


@dataclass(frozen=True)
class IsFinite(_FloatTest):
    """`y`: whether x is neither NaN nor infinite."""

    def reference(self, x: Array) -> Array:
        return np.isfinite(x)


@dataclass(frozen=True)
class LogicalNot(Op):
    """`y = not x`."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype is DType.BOOL, "needs bools")
        return x

    def reference(self, x: Array) -> Array:
        return np.logical_not(x)


@dataclass(frozen=True)
class Add(_Binary):
    """`y = a + b`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.add(a, b)


@dataclass(frozen=True)
class Subtract(_Binary):
    """`y = a - b`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.subtract(a, b)


@dataclass(frozen=True)
class Multiply(_Binary):
    """`y = a * b`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.multiply(a, b)


@dataclass(frozen=True)
class Divide(Op):
    """`y = a / b` for floating-point numbers."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype.is_floating, "needs floating-point numbers")
        return _broadcast(a, b)

    def reference(self, a: Array, b: Array) -> Array:
        return np.divide(a, b)


@dataclass(frozen=True)
class Remainder(_Binary):
    """`y = a - floor(a / b) * b`: the remainder with the sign of b."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.remainder(a, b)


@dataclass(frozen=True)
class Power(_Binary):
    """`y = a^b`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.power(a, b)


@dataclass(frozen=True)
class Maximum(_Binary):
    """`y`: the greater of a and b; NaN if either is."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)


@dataclass(frozen=True)
class Minimum(_Binary):
    """`y`: the smaller of a and b; NaN if either is."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b)


@dataclass(frozen=True)
class Equal(_Comparison):
    """`y = (a == b)`; NaN equals nothing."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.equal(a, b).astype(np.bool_)


@dataclass(frozen=True)
class NotEqual(_Comparison):
    """`y = (a != b)`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.not_equal(a, b).astype(np.bool_)


@dataclass(frozen=True)
class Less(_Ordering):
    """`y = (a < b)`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.less(a, b)


@dataclass(frozen=True)
class LessEqual(_Ordering):
    """`y = (a <= b)`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.less_equal(a, b)


@dataclass(frozen=True)
class Greater(_Ordering):
    """`y = (a > b)`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.greater(a, b)


@dataclass(frozen=True)
class GreaterEqual(_Ordering):
    """`y = (a >= b)`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.greater_equal(a, b)


@dataclass(frozen=True)
class LogicalAnd(_Logical):
    """`y = a and b`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.logical_and(a, b)


@dataclass(frozen=True)
class LogicalOr(_Logical):
    """`y = a or b`."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.logical_or(a, b)


@dataclass(frozen=True)
class Where(Op):
    """`y = a where condition, else b`."""

    def infer(self, condition: TensorType, a: TensorType, b: TensorType) -> TensorType:
        require(condition.dtype is DType.BOOL, "the condition must be bool")
        require(a.dtype is b.dtype, "the element types of a and b must be the same")
        return TensorType(a.dtype, broadcast_shapes(condition.shape, a.shape, b.shape))

    def reference(self, condition: Array, a: Array, b: Array) -> Array:
        return np.where(condition, a, b)


@dataclass(frozen=True)
class Clip(_Unary):
    """`y = min(max(x, minimum), maximum)`; NaN stays."""

    minimum: float
    maximum: float

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype.is_integer:
            limits = np.iinfo(x.dtype.numpy)
            for bound in (self.minimum, self.maximum):
                fits = float(bound).is_integer() and limits.min <= bound <= limits.max
                require(fits, f"the bound {bound} is no {x.dtype}")
        return super().infer(x)

    def reference(self, x: Array) -> Array:
        low, high = x.dtype.type(self.minimum), x.dtype.type(self.maximum)
        return np.minimum(np.maximum(x, low), high)


@dataclass(frozen=True)
class Cast(Op):
    """`y = x` in another element type.

    Floating to integer truncates towards zero and is undefined where the integer type cannot hold
    the value; to bool is `x != 0`.
    """

    dtype: DType

    def infer(self, x: TensorType) -> TensorType:
        require(
            x.dtype is not DType.STRING and self.dtype is not DType.STRING, "cannot cast strings"
        )
        return x.with_dtype(self.dtype)

    def reference(self, x: Array) -> Array:
        return x.astype(self.dtype.numpy)
