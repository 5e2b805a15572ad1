"""Attention as one op, which runtimes have natively."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import floor_div
from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import DType, TensorType, broadcast_shapes, require_same_size

#: What scores that the mask excludes become: this part of the least number of the element type.
#: It is finite, so that a row without any key has equal weights, and no NaN.
MASKED = -0.7


@dataclass(frozen=True)
class Attention(Op):
    """`y[n, t, h] = sum over s of softmax over s of (scale * q[n, t, h] . k[n, s, h]) * v[n, s, h]`

    q is `[N, T, H, D]`, k `[N, S, H, D]`, v `[N, S, H, E]` and y `[N, T, H, E]`; scores are
    `[N, H, T, S]` (Vaswani et al., 2017). bias is added to the scores. Where mask is false, and
    with `is_causal` where `s > t`, a score is 0.7 times the least float32 (or float64). bias and
    mask broadcast to the scores. Of 16-bit floats all is computed in 32 bits. With `num_heads` the
    heads of q, k, v and y are side by side in the last axis: `[N, T, H * D]`, and so on.
    """

    scale: float
    is_causal: bool = False
    num_heads: int | None = None

    def split(self, x: TensorType) -> TensorType:
        """`[N, T, H, D]`, of heads that are side by side or in an axis of their own."""
        if self.num_heads is None:
            return x
        require(x.rank == 3, "needs q, k and v of rank 3, with their heads side by side")
        width = x.shape[2]
        require(
            isinstance(width, int) and self.num_heads >= 1 and width % self.num_heads == 0,
            f"a last size of {width} does not divide into {self.num_heads} heads",
        )
        return x.with_shape((*x.shape[:2], self.num_heads, floor_div(width, self.num_heads)))

    def infer(
        self,
        q: TensorType,
        k: TensorType,
        v: TensorType,
        bias: TensorType | None = None,
        mask: TensorType | None = None,
    ) -> TensorType:
        require(q.dtype.is_floating, "needs floating-point numbers")
        require(q.dtype is k.dtype is v.dtype, "q, k and v need one element type")
        q, k, v = self.split(q), self.split(k), self.split(v)
        require(q.rank == k.rank == v.rank == 4, "needs q, k and v of rank 4")
        for axis, rule in ((0, "batches"), (2, "heads")):
            require_same_size(q.shape[axis], k.shape[axis], f"q and k need the same {rule}")
            require_same_size(q.shape[axis], v.shape[axis], f"q and v need the same {rule}")
        require_same_size(q.shape[3], k.shape[3], "q and k need the same last size")
        require_same_size(k.shape[1], v.shape[1], "k and v need the same length")
        scores = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
        for name, operand, dtype in (("bias", bias, q.dtype), ("mask", mask, DType.BOOL)):
            if operand is not None:
                require(operand.dtype is dtype, f"{name} needs the element type {dtype}")
                whole = broadcast_shapes(operand.shape, scores)
                require(whole == scores, f"{name} does not broadcast to {q.with_shape(scores)}")
        if self.num_heads is None:
            return q.with_shape((*q.shape[:3], v.shape[3]))
        return q.with_shape((*q.shape[:2], self.num_heads * v.shape[3]))

    def reference(
        self,
        q: Array,
        k: Array,
        v: Array,
        bias: Array | None = None,
        mask: Array | None = None,
    ) -> Array:
        wide = np.promote_types(q.dtype, np.float32)
        split = [x.reshape(self.split(TensorType.of(x)).static_shape) for x in (q, k, v)]
        heads = [x.astype(wide).transpose(0, 2, 1, 3) for x in split]
        scores = np.matmul(heads[0], heads[1].swapaxes(2, 3)) * wide.type(self.scale)
        scores = scores if bias is None else scores + bias.astype(wide)
        least = wide.type(MASKED * np.finfo(wide).max)
        if self.is_causal:
            scores = np.where(np.tri(*scores.shape[2:]) > 0, scores, least)
        scores = scores if mask is None else np.where(mask, scores, least)
        powers = np.exp(scores - np.max(scores, axis=-1, keepdims=True, initial=-np.inf))
        weights = powers / np.sum(powers, axis=-1, keepdims=True)
        y = np.matmul(weights, heads[2]).transpose(0, 2, 1, 3).astype(q.dtype)
        return y if self.num_heads is None else y.reshape(*y.shape[:2], -1)
