"""Products of matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import TensorType, broadcast_shapes, require_same_size


@dataclass(frozen=True)
class Matmul(Op):
    """`y[..., i, j] = sum over k of a[..., i, k] * b[..., k, j]`; leading axes broadcast."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype.is_numeric and a.dtype is b.dtype, "needs numbers of one element type")
        require(a.rank >= 2 and b.rank >= 2, "needs operands of rank 2 or more")
        rule = "the last size of a must be the last but one of b"
        require_same_size(a.shape[-1], b.shape[-2], rule)
        batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return a.with_shape((*batch, a.shape[-2], b.shape[-1]))

    def reference(self, a: Array, b: Array) -> Array:
        return np.matmul(a, b).astype(a.dtype, copy=False)


@dataclass(frozen=True)
class Linear(Op):
    """`y[..., j] = sum over k of x[..., k] w[k, j], + b[j]`: x `[..., K]`, w `[K, J]`, b `[J]`."""

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        require(x.dtype.is_numeric and x.dtype is w.dtype, "needs numbers of one element type")
        require(x.rank >= 1 and w.rank == 2, "needs x of rank 1 or more and w of rank 2")
        require_same_size(x.shape[-1], w.shape[0], f"needs w with {x.shape[-1]} rows")
        if b is not None:
            require(b == w.with_shape(w.shape[1:]), f"needs b of type {w.with_shape(w.shape[1:])}")
        return x.with_shape((*x.shape[:-1], w.shape[1]))

    def reference(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y = np.matmul(x, w).astype(x.dtype, copy=False)
        return y if b is None else y + b
