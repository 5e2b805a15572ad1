"""Normalizations that runtimes have natively."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import TensorType


def _channels(x: TensorType, axis: int, *operands: TensorType | None) -> TensorType:
    """The type `[C]` of a number for each index along axis, which every operand must have."""
    require(x.dtype.is_floating, "needs floating-point numbers")
    channels = x.with_shape((x.shape[normalize_axis(axis, x.rank)],))
    for operand in operands:
        require(operand is None or operand == channels, f"needs operands of type {channels}")
    return channels


def _along(vector: Array, x: Array, axis: int) -> Array:
    shape = [1] * x.ndim
    shape[axis] = -1
    return vector.reshape(shape)


def within_range(x: Array, dtype: np.dtype) -> Array:
    """x as `dtype`; what is beyond the range of float16 becomes its greatest number."""
    if dtype == np.float16:
        limits = np.finfo(np.float16)
        x = np.clip(x, limits.min, limits.max)
    return x.astype(dtype)


def _mean_of_others(x: Array, axis: int) -> Array:
    """The mean over all axes but `axis`; NaN of nothing."""
    others = tuple(i for i in range(x.ndim) if i != axis)
    return np.sum(x, axis=others) / x.dtype.type(x.size // max(x.shape[axis], 1))


@dataclass(frozen=True)
class BatchNorm(Op):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, with given statistics.

    mean, variance, gamma, beta are `[C]`, C the size of x along axis (Ioffe and Szegedy, 2015).
    """

    axis: int = -1
    epsilon: float = 1e-3

    def infer(
        self,
        x: TensorType,
        mean: TensorType,
        variance: TensorType,
        gamma: TensorType | None = None,
        beta: TensorType | None = None,
    ) -> TensorType:
        _channels(x, self.axis, mean, variance, gamma, beta)
        return x

    def reference(
        self,
        x: Array,
        mean: Array,
        variance: Array,
        gamma: Array | None = None,
        beta: Array | None = None,
    ) -> Array:
        scale = 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        scale = scale if gamma is None else scale * gamma
        y = x - _along(mean, x, self.axis)
        y *= _along(scale, x, self.axis)
        if beta is not None:
            y += _along(beta, x, self.axis)
        return y.astype(x.dtype, copy=False)


@dataclass(frozen=True)
class BatchNormTraining(Op):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, with the batch's own statistics.

    mean and variance are over all axes but `axis`, the variance with divisor n; the results are
    y, mean `[C]` and variance `[C]`, which do not leave the range of float16 where they are that.
    `forced` says that the model asks for this at inference too.
    """

    axis: int = -1
    epsilon: float = 1e-3
    forced: bool = False

    def infer(
        self, x: TensorType, gamma: TensorType | None = None, beta: TensorType | None = None
    ) -> tuple[TensorType, TensorType, TensorType]:
        channels = _channels(x, self.axis, gamma, beta)
        return x, channels, channels

    def reference(
        self, x: Array, gamma: Array | None = None, beta: Array | None = None
    ) -> tuple[Array, Array, Array]:
        axis = self.axis % x.ndim
        wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
        mean = _mean_of_others(wide, axis)
        variance = _mean_of_others((wide - _along(mean, x, axis)) ** 2, axis)
        y = BatchNorm(self.axis, self.epsilon).reference(wide, mean, variance, gamma, beta)
        return y.astype(x.dtype), within_range(mean, x.dtype), within_range(variance, x.dtype)
