"""Cases of attention and of normalizations within a sample."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.types import DType
from tests.ops.case import Case, Operand, exactly, operand, smooth, special, values

BF16, F16, BOOL = DType.BFLOAT16, DType.FLOAT16, DType.BOOL


def far(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Far from 0 in relation to the spread: the mean of squares would lose all digits."""
    return 1000 + 1024 * rng.integers(-3, 3, shape) / 1024


def _norm(op: ops.LayerNorm | ops.RmsNorm, *operands: Operand | None) -> list[Case]:
    """Cases that both kinds of normalization over axes have."""
    kind, epsilon = type(op), op.epsilon
    return [
        smooth("plain", op, operand("n", 5), n=2),
        smooth("affine", op, operand("n", "t", 5), *operands, n=2, t=3),
        smooth("axes", kind((1, 2)), operand(2, 3, 4), operand(3, 4)),
        smooth("front", kind((1,), 0.1), operand("n", 4, 3), operand(4), n=2),
        smooth("apart", kind((0, 2)), operand(2, 3, 4), operand(2, 4)),
        smooth("symbolic", kind((1, -1)), operand("n", "h", 4), n=2, h=3),
        values("epsilon", kind((-1,), 1e-12), operand(3, 4)),
        values("special", kind((-1,), epsilon), operand(6, 5, draw=special), *operands),
        values("zeros", op, operand(2, 3, draw=exactly(*[0.0] * 6))),
        values("one", op, operand(2, 1), operand(1)),
        values("empty-batch", op, operand(0, 5), *operands),
        values("empty-axis", op, operand(2, 0)),
        values("float16", op, operand(3, 7, dtype=F16), operand(7, dtype=F16)),
        values("bfloat16", op, operand(3, 7, dtype=BF16), operand(7, dtype=BF16)),
    ]


LAYER = [
    *_norm(ops.LayerNorm(), operand(5), operand(5)),
    smooth("shift", ops.LayerNorm(), operand(3, 5), None, operand(5)),
    smooth("shift-front", ops.LayerNorm((1,)), operand(2, 5, 3), None, operand(5)),
    values("far", ops.LayerNorm(), operand(2, 64, draw=far)),
]
RMS = _norm(ops.RmsNorm(), operand(5))
GROUP = [
    smooth("plain", ops.GroupNorm(2), operand("n", 3, 4), n=2),
    smooth(
        "affine", ops.GroupNorm(3), operand("n", "h", "w", 6), operand(6), operand(6), n=2, h=2, w=3
    ),
    smooth("front", ops.GroupNorm(2, 1), operand("n", 4, 3), operand(4), operand(4), n=2),
    smooth("middle", ops.GroupNorm(2, 2, 0.1), operand(2, 3, 4, 2), operand(4)),
    smooth("shift", ops.GroupNorm(1), operand(2, 4), None, operand(4)),
    values("each", ops.GroupNorm(4), operand(2, 3, 4)),
    values("far", ops.GroupNorm(2), operand(2, 32, 2, draw=far)),
    values("special", ops.GroupNorm(2), operand(7, 3, 4, draw=special), operand(4), operand(4)),
    values("empty-batch", ops.GroupNorm(2), operand(0, 4)),
    values("float16", ops.GroupNorm(2), operand(2, 3, 4, dtype=F16), operand(4, dtype=F16)),
    values("bfloat16", ops.GroupNorm(2), operand(2, 3, 4, dtype=BF16), operand(4, dtype=BF16)),
]


def heads(*shape: int | str, dtype: DType = DType.FLOAT32) -> Operand:
    return operand(*shape, dtype=dtype)


def none(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, bool)


SIDE_BY_SIDE = (operand("n", 3, 8), operand("n", "s", 8), operand("n", "s", 6))
STATIC = (heads(2, 3, 2, 4), heads(2, 5, 2, 4), heads(2, 5, 2, 3))
OPEN = (heads("n", "t", 2, 4), heads("n", "s", 2, 4), heads("n", "s", 2, 4))
NARROW = [[heads(1, 3, 2, 4, dtype=dtype)] * 3 for dtype in (F16, BF16)]
CAUSAL = ops.Attention(0.5, is_causal=True)
ATTENTION = [
    smooth("plain", ops.Attention(0.5), *STATIC),
    smooth("side-by-side", ops.Attention(0.5, num_heads=2), *SIDE_BY_SIDE, n=2, s=5),
    smooth("side-by-side-causal", ops.Attention(0.5, True, num_heads=2), *SIDE_BY_SIDE, n=2, s=5),
    smooth("symbolic", ops.Attention(0.25), *OPEN, n=2, t=3, s=5),
    smooth("bias", ops.Attention(0.5), *STATIC, operand(2, 1, 3, 5)),
    smooth("bias-row", ops.Attention(-0.5), *STATIC, operand(5)),
    smooth("mask", ops.Attention(0.5), *STATIC, None, operand(2, 1, 3, 5, dtype=BOOL)),
    smooth(
        "both",
        ops.Attention(0.5),
        *OPEN,
        operand(2, 1, 1),
        operand("n", 1, 1, "s", dtype=BOOL),
        n=2,
        t=3,
        s=2,
    ),
    smooth("causal", CAUSAL, *STATIC),
    smooth("causal-symbolic", CAUSAL, *OPEN, n=1, t=4, s=3),
    smooth("causal-queries", CAUSAL, heads(1, "t", 1, 2), *[heads(1, 3, 1, 2)] * 2, t=4),
    smooth(
        "causal-mask",
        CAUSAL,
        *STATIC,
        operand(1, 2, 1, 1),
        operand(3, 5, dtype=BOOL),
    ),
    values("no-key", ops.Attention(0.5), *STATIC, None, operand(2, 1, 1, 5, dtype=BOOL, draw=none)),
    values("one", ops.Attention(1.0), *[heads(1, 1, 1, 1)] * 3),
    values("empty-batch", CAUSAL, *[heads(0, 3, 2, 4)] * 3),
    values("large", ops.Attention(100.0), *STATIC),
    values(
        "special", ops.Attention(1.0), operand(4, 3, 1, 4, draw=special), *[heads(4, 3, 1, 4)] * 2
    ),
    values("float16", ops.Attention(0.5), *NARROW[0]),
    values("bfloat16", CAUSAL, *NARROW[1]),
]

CASES: list[Case] = [*LAYER, *RMS, *GROUP, *ATTENTION]
