"""Normalizations of each sample by its own statistics, which are the same in training.

Statistics of 16-bit floats are computed in 32 bits, where their squares do not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import TensorType


def _wide(x: Array) -> Array:
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)


def _normalized(x: Array, axes: tuple[int, ...], epsilon: float, centered: bool) -> Array:
    """`x / sqrt(mean of x^2 over axes + epsilon)`, of the deviation from the mean if centered."""
    count = x.dtype.type(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    if centered:
        x = x - np.sum(x, axis=axes, keepdims=True) / count
    square = np.sum(x * x, axis=axes, keepdims=True) / count
    return x / np.sqrt(square + x.dtype.type(epsilon))


def _affine(y: Array, gamma: Array | None, beta: Array | None, axes: tuple[int, ...]) -> Array:
    """`y * gamma + beta`, whose sizes are those of y along axes."""
    shape = [size if axis in axes else 1 for axis, size in enumerate(y.shape)]
    y = y if gamma is None else y * gamma.astype(y.dtype).reshape(shape)
    return y if beta is None else y + beta.astype(y.dtype).reshape(shape)


@dataclass(frozen=True)
class _AxesNormalization(Op):
    """A normalization over `axes`, which are in the order of x."""

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-3

    def axes_of(self, rank: int) -> tuple[int, ...]:
        """The axes counted from the front.

        Raises:
            ShapeError: they are not axes of a tensor of that rank, in order, each once.
        """
        axes = tuple(normalize_axis(axis, rank) for axis in self.axes)
        require(
            bool(axes) and all(a < b for a, b in zip(axes, axes[1:], strict=False)),
            f"needs axes in order, each once, got {list(self.axes)} of rank {rank}",
        )
        return axes

    def _check(self, x: TensorType, *weights: TensorType | None) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        expected = x.with_shape(x.shape[axis] for axis in self.axes_of(x.rank))
        fits = all(weight is None or weight == expected for weight in weights)
        require(fits, f"needs operands of type {expected}")
        return x


@dataclass(frozen=True)
class LayerNorm(_AxesNormalization):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, statistics over axes of x.

    The variance has the divisor n. gamma and beta have the sizes of x along axes (Ba et al., 2016).
    """

    def infer(
        self, x: TensorType, gamma: TensorType | None = None, beta: TensorType | None = None
    ) -> TensorType:
        return self._check(x, gamma, beta)

    def reference(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Array:
        axes = self.axes_of(x.ndim)
        y = _normalized(_wide(x), axes, self.epsilon, centered=True)
        return _affine(y, gamma, beta, axes).astype(x.dtype, copy=False)


@dataclass(frozen=True)
class RmsNorm(_AxesNormalization):
    """`y = x / sqrt(mean of x^2 + epsilon) * gamma`, the mean over axes of x.

    gamma has the sizes of x along axes (Zhang and Sennrich, 2019).
    """

    epsilon: float = 1e-6

    def infer(self, x: TensorType, gamma: TensorType | None = None) -> TensorType:
        return self._check(x, gamma)

    def reference(self, x: Array, gamma: Array | None = None) -> Array:
        axes = self.axes_of(x.ndim)
        y = _normalized(_wide(x), axes, self.epsilon, centered=False)
        return _affine(y, gamma, None, axes).astype(x.dtype, copy=False)


@dataclass(frozen=True)
class GroupNorm(Op):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, statistics of groups of channels.

    x is `[N, ...]` with C channels along axis, which are divided into groups of C / groups
    neighbours. The statistics are over a group's channels and all axes but the first; the variance
    has the divisor n. gamma and beta are `[C]` (Wu and He, 2018).
    """

    groups: int
    axis: int = -1
    epsilon: float = 1e-3

    def axis_of(self, rank: int) -> int:
        """The axis of the channels counted from the front.

        Raises:
            ShapeError: it is the first, or none.
        """
        axis = normalize_axis(self.axis, rank)
        require(axis > 0, "the channels cannot be along axis 0, which counts the samples")
        return axis

    def infer(
        self, x: TensorType, gamma: TensorType | None = None, beta: TensorType | None = None
    ) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        channels = x.shape[self.axis_of(x.rank)]
        require(
            isinstance(channels, int) and self.groups > 0 and channels % self.groups == 0,
            f"{channels} channels do not divide into {self.groups} groups",
        )
        expected = x.with_shape((channels,))
        fits = all(weight is None or weight == expected for weight in (gamma, beta))
        require(fits, f"needs operands of type {expected}")
        return x

    def reference(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Array:
        axis = self.axis_of(x.ndim)
        wide = _wide(x)
        split = (*x.shape[:axis], self.groups, x.shape[axis] // self.groups, *x.shape[axis + 1 :])
        others = tuple(other for other in range(1, x.ndim + 1) if other != axis)
        y = _normalized(wide.reshape(split), others, self.epsilon, centered=True).reshape(x.shape)
        return _affine(y, gamma, beta, (axis,)).astype(x.dtype, copy=False)
