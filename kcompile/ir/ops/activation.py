"""Activation functions that runtimes have natively."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.ops.elementwise import _FloatUnary
from kcompile.ir.types import TensorType, broadcast_shapes


@dataclass(frozen=True)
class Relu(_FloatUnary):
    """`y = max(x, 0)`; NaN stays."""

    def reference(self, x: Array) -> Array:
        return np.maximum(x, x.dtype.type(0))


@dataclass(frozen=True)
class Sigmoid(_FloatUnary):
    """`y = 1 / (1 + e^(-x))`."""

    def reference(self, x: Array) -> Array:
        y = np.empty_like(x)
        np.exp(np.negative(x, out=y), out=y)
        y += 1
        return np.divide(1, y, out=y)


@dataclass(frozen=True)
class Tanh(_FloatUnary):
    """`y = (e^x - e^(-x)) / (e^x + e^(-x))`."""

    def reference(self, x: Array) -> Array:
        return np.tanh(x)


@dataclass(frozen=True)
class Softplus(_FloatUnary):
    """`y = ln(1 + e^x)`."""

    def reference(self, x: Array) -> Array:
        return np.logaddexp(x, x.dtype.type(0)).astype(x.dtype)


@dataclass(frozen=True)
class Softsign(_FloatUnary):
    """`y = x / (1 + |x|)`."""

    def reference(self, x: Array) -> Array:
        return x / (1 + np.abs(x))


@dataclass(frozen=True)
class Elu(_FloatUnary):
    """`y = x where x > 0, else alpha * (e^x - 1)` (Clevert et al., 2016)."""

    alpha: float = 1.0

    def reference(self, x: Array) -> Array:
        return np.where(x > 0, x, x.dtype.type(self.alpha) * np.expm1(np.minimum(x, 0))).astype(
            x.dtype
        )


@dataclass(frozen=True)
class LeakyRelu(_FloatUnary):
    """`y = x where x > 0, else negative_slope * x`."""

    negative_slope: float = 0.2

    def reference(self, x: Array) -> Array:
        return np.where(x > 0, x, x.dtype.type(self.negative_slope) * x)


@dataclass(frozen=True)
class HardSigmoid(_FloatUnary):
    """`y = min(max(x / 6 + 1 / 2, 0), 1)`."""

    def reference(self, x: Array) -> Array:
        return np.clip(x / 6 + 0.5, 0, 1).astype(x.dtype)


@dataclass(frozen=True)
class HardSwish(_FloatUnary):
    """`y = x * min(max(x / 6 + 1 / 2, 0), 1)` (Howard et al., 2019)."""

    def reference(self, x: Array) -> Array:
        return (x * np.clip(x / 6 + 0.5, 0, 1)).astype(x.dtype)


@dataclass(frozen=True)
class PRelu(Op):
    """`y = x where x > 0, else slope * x` (He et al., 2015); slope broadcasts to x."""

    def infer(self, x: TensorType, slope: TensorType) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        require(x.dtype is slope.dtype, f"x is {x} and slope {slope}: they need one element type")
        message = f"slope {slope} does not broadcast to x {x}"
        require(broadcast_shapes(x.shape, slope.shape) == x.shape, message)
        return x

    def reference(self, x: Array, slope: Array) -> Array:
        return np.where(x > 0, x, slope * x)


@dataclass(frozen=True)
class Gelu(_FloatUnary):
    """`y = x * Phi(x)`, Phi the normal distribution (Hendrycks and Gimpel, 2016).

    With `approximate`, `y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
    """

    approximate: bool = False

    def reference(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        if self.approximate:
            inner = np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))
        else:
            inner = np.vectorize(math.erf, otypes=[np.float64])(wide / math.sqrt(2))
        return (wide / 2 * (1 + inner)).astype(x.dtype)


@dataclass(frozen=True)
class _AxisActivation(_FloatUnary):
    """An activation that looks along one axis."""

    axis: int = -1

    def infer(self, x: TensorType) -> TensorType:
        normalize_axis(self.axis, x.rank)
        return super().infer(x)


@dataclass(frozen=True)
class Softmax(_AxisActivation):
    """`y = e^x / sum of e^x along axis`."""

    def reference(self, x: Array) -> Array:
        powers = np.exp(x - _greatest(x, self.axis))
        return powers / np.sum(powers, axis=self.axis, keepdims=True)


@dataclass(frozen=True)
class LogSoftmax(_AxisActivation):
    """`y = x - ln(sum of e^x along axis)`."""

    def reference(self, x: Array) -> Array:
        shifted = x - _greatest(x, self.axis)
        return shifted - np.log(np.sum(np.exp(shifted), axis=self.axis, keepdims=True))


def _greatest(x: Array, axis: int) -> Array:
    return np.max(x, axis=axis, keepdims=True, initial=-np.inf)
