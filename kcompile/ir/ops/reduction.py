"""Reductions along axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import DType, TensorType


def reduced_type(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    """The type of x with `axes` reduced: size 1 with `keepdims`, otherwise gone."""
    gone = {normalize_axis(axis, x.rank) for axis in axes}
    require(len(gone) == len(axes), f"the axes {list(axes)} name one axis twice")
    if keepdims:
        return x.with_shape(1 if i in gone else size for i, size in enumerate(x.shape))
    return x.with_shape(size for i, size in enumerate(x.shape) if i not in gone)


@dataclass(frozen=True)
class _Reduction(Op):
    """`y = f over axes of x`; no axes leave x as it is."""

    axes: tuple[int, ...]
    keepdims: bool = False

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_numeric, "needs numbers")
        return reduced_type(x, self.axes, self.keepdims)


@dataclass(frozen=True)
class ReduceSum(_Reduction):
    """`y`: the sum over axes; 0 of nothing."""

    def reference(self, x: Array) -> Array:
        total = np.sum(x, axis=self.axes, keepdims=self.keepdims, dtype=_wide(x.dtype))
        return np.asarray(total, x.dtype)


@dataclass(frozen=True)
class ReduceMean(_Reduction):
    """`y`: the mean over axes; NaN of nothing."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        return super().infer(x)

    def reference(self, x: Array) -> Array:
        wide = _wide(x.dtype)
        total = np.sum(x, axis=self.axes, keepdims=self.keepdims, dtype=wide)
        count = np.prod([x.shape[axis] for axis in self.axes], dtype=np.int64)
        return np.asarray(total / wide.type(count), x.dtype)


@dataclass(frozen=True)
class ReduceMax(_Reduction):
    """`y`: the greatest over axes; NaN if any is; the least number of the type of nothing."""

    def reference(self, x: Array) -> Array:
        return np.max(x, axis=self.axes, keepdims=self.keepdims, initial=least_number(x.dtype))


@dataclass(frozen=True)
class ReduceMin(_Reduction):
    """`y`: the smallest over axes; NaN if any is; the greatest number of the type of nothing."""

    def reference(self, x: Array) -> Array:
        return np.min(x, axis=self.axes, keepdims=self.keepdims, initial=_greatest(x.dtype))


@dataclass(frozen=True)
class ReduceProd(_Reduction):
    """`y`: the product over axes; 1 of nothing."""

    def reference(self, x: Array) -> Array:
        product = np.prod(x, axis=self.axes, keepdims=self.keepdims, dtype=_wide(x.dtype))
        return np.asarray(product, x.dtype)


@dataclass(frozen=True)
class _ArgReduction(Op):
    """`y`: the first index along axis at which x is extreme, as `dtype`."""

    axis: int
    keepdims: bool = False
    dtype: DType = DType.INT32

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_numeric, "needs numbers")
        require(self.dtype.is_integer, "an index needs an integer type")
        axis = normalize_axis(self.axis, x.rank)
        require(x.shape[axis] != 0, f"axis {axis} has no elements")
        return reduced_type(x, (axis,), self.keepdims).with_dtype(self.dtype)


@dataclass(frozen=True)
class Argmax(_ArgReduction):
    """`y`: the first index of the greatest element along axis."""

    def reference(self, x: Array) -> Array:
        index = np.argmax(x, axis=self.axis, keepdims=self.keepdims)
        return np.asarray(index).astype(self.dtype.numpy)


@dataclass(frozen=True)
class Argmin(_ArgReduction):
    """`y`: the first index of the smallest element along axis."""

    def reference(self, x: Array) -> Array:
        index = np.argmin(x, axis=self.axis, keepdims=self.keepdims)
        return np.asarray(index).astype(self.dtype.numpy)


def _wide(dtype: np.dtype) -> np.dtype:
    """The type to reduce in: in 16 bits an intermediate overflows before the result does."""
    return dtype if dtype.kind in "iu" else np.promote_types(dtype, np.float32)


def least_number(dtype: np.dtype) -> float | int:
    """The least number of a type: -inf of floats."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _greatest(dtype: np.dtype) -> float | int:
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.inf
