"""Order along an axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import DType, TensorType


@dataclass(frozen=True)
class TopK(Op):
    """`values, indices`: the k greatest (or smallest) elements along axis in order, and where.

    Equal elements keep their order, and NaN is greater than every number. With `largest=False`
    and k the size of the axis, this is a stable sort. Indices have the type `dtype`.
    """

    k: Size
    axis: int = -1
    largest: bool = True
    dtype: DType = DType.INT32

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        require(x.dtype.is_numeric, "needs numbers")
        require(self.dtype.is_integer, "an index needs an integer type")
        axis = normalize_axis(self.axis, x.rank)
        size = x.shape[axis]
        if isinstance(self.k, int) and isinstance(size, int):
            require(0 <= self.k <= size, f"k = {self.k} is outside axis {axis} of size {size}")
        values = x.with_shape(self.k if i == axis else n for i, n in enumerate(x.shape))
        return values, values.with_dtype(self.dtype)

    def reference(self, x: Array) -> tuple[Array, Array]:
        keys = x.astype(np.float32) if DType.of(x.dtype) is DType.BFLOAT16 else x
        if self.largest:
            backwards = np.argsort(np.flip(keys, self.axis), axis=self.axis, kind="stable")
            order = x.shape[self.axis] - 1 - np.flip(backwards, self.axis)
        else:
            order = np.argsort(keys, axis=self.axis, kind="stable")
        indices = np.take(order, np.arange(int(self.k)), axis=self.axis)
        return np.take_along_axis(x, indices, self.axis), indices.astype(self.dtype.numpy)
