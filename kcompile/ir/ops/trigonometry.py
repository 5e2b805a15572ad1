"""Trigonometric and hyperbolic functions, and their inverses, of each element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.elementwise import _broadcast, _FloatUnary
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Tan(_FloatUnary):
    """`y = sin x / cos x`, x in radians."""

    def reference(self, x: Array) -> Array:
        return np.tan(x)


@dataclass(frozen=True)
class Asin(_FloatUnary):
    """`y` in [-pi/2, pi/2] with `sin y = x`; NaN outside [-1, 1]."""

    def reference(self, x: Array) -> Array:
        return np.arcsin(x)


@dataclass(frozen=True)
class Acos(_FloatUnary):
    """`y` in [0, pi] with `cos y = x`; NaN outside [-1, 1]."""

    def reference(self, x: Array) -> Array:
        return np.arccos(x)


@dataclass(frozen=True)
class Atan(_FloatUnary):
    """`y` in [-pi/2, pi/2] with `tan y = x`."""

    def reference(self, x: Array) -> Array:
        return np.arctan(x)


@dataclass(frozen=True)
class Sinh(_FloatUnary):
    """`y = (e^x - e^-x) / 2`."""

    def reference(self, x: Array) -> Array:
        return np.sinh(x)


@dataclass(frozen=True)
class Cosh(_FloatUnary):
    """`y = (e^x + e^-x) / 2`."""

    def reference(self, x: Array) -> Array:
        return np.cosh(x)


@dataclass(frozen=True)
class Asinh(_FloatUnary):
    """`y` with `sinh y = x`."""

    def reference(self, x: Array) -> Array:
        return np.arcsinh(x)


@dataclass(frozen=True)
class Acosh(_FloatUnary):
    """`y >= 0` with `cosh y = x`; NaN below 1."""

    def reference(self, x: Array) -> Array:
        return np.arccosh(x)


@dataclass(frozen=True)
class Atanh(_FloatUnary):
    """`y` with `tanh y = x`; infinite at -1 and 1, NaN beyond."""

    def reference(self, x: Array) -> Array:
        return np.arctanh(x)


@dataclass(frozen=True)
class Atan2(Op):
    """`y` in [-pi, pi]: the angle of the point (b, a) from the positive first axis.

    Signed zeros tell the two sides of the axes apart, as in IEC 60559.
    """

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype.is_floating, "needs floating-point numbers")
        return _broadcast(a, b)

    def reference(self, a: Array, b: Array) -> Array:
        return np.arctan2(a, b)
