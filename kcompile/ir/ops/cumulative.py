"""Running totals along an axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import DType, TensorType


@dataclass(frozen=True)
class CumSum(Op):
    """`y[i] = x[0] + ... + x[i]` along axis.

    `exclusive` leaves x[i] out; `reverse` adds from the end: `x[i] + x[i + 1] + ...`.
    """

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_numeric, "needs numbers")
        normalize_axis(self.axis, x.rank)
        return x

    def reference(self, x: Array) -> Array:
        ordered = np.flip(x, self.axis) if self.reverse else x
        if self.exclusive and x.shape[self.axis]:
            first = np.zeros_like(np.take(ordered, [0], self.axis))
            rest = np.take(ordered, np.arange(x.shape[self.axis] - 1), self.axis)
            ordered = np.concatenate([first, rest], self.axis)
        dtype = np.float32 if DType.of(x.dtype) in (DType.BFLOAT16, DType.FLOAT16) else x.dtype
        total = np.cumsum(ordered, axis=self.axis, dtype=dtype).astype(x.dtype)
        return np.flip(total, self.axis) if self.reverse else total
