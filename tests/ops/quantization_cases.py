"""Cases of quantization and back: ties, saturation, axes, infinities."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.types import DType
from tests.ops.case import Case, exactly, integers, operand, positive, scattered, values

BF16, F16, F32, I8, I32, U8 = (
    DType.BFLOAT16,
    DType.FLOAT16,
    DType.FLOAT32,
    DType.INT8,
    DType.INT32,
    DType.UINT8,
)
QUARTER = exactly(0.25)
#: Halves of a step of 0.25, what saturates, and infinities.
TIES = exactly(0.125, 0.375, -0.125, -0.375, 0.0, -0.0, 31.9, 64.0, -64.0, 1e9, np.inf, -np.inf)
SCALES = exactly(0.5, 0.01, 2.0)


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Some of it outside of what the scales of these cases hold."""
    return rng.standard_normal(shape) * 3


def _quantize(op: type[ops.Quantize] | type[ops.FakeQuantize]) -> list[Case]:
    def single(dtype: DType, zero_point: int, scale_dtype: DType = F32) -> tuple[object, ...]:
        return operand(dtype=scale_dtype, draw=QUARTER), operand(
            dtype=dtype, draw=exactly(zero_point)
        )

    return [
        values("ties-u8", op(U8), operand(12, draw=TIES), *single(U8, 128)),
        values("ties-i8", op(I8), operand(12, draw=TIES), *single(I8, 0)),
        values("asymmetric", op(U8), operand("batch", 3, 5, draw=wide), *single(U8, 3), batch=4),
        values("empty", op(U8), operand(0, 3), *single(U8, 3)),
        values("scalar", op(I8), operand(), *single(I8, -7)),
        values("float16", op(U8), operand(4, 9, dtype=F16), *single(U8, 9, F16)),
        values("bfloat16", op(U8), operand(4, 9, dtype=BF16), *single(U8, 9, BF16)),
        *(
            values(
                f"axis-{axis}",
                op(I8, axis),
                operand(*shape, draw=wide),
                operand(3, draw=SCALES),
                operand(3, dtype=I8, draw=exactly(0, 5, -100)),
            )
            for axis, shape in ((0, (3, 4, 2)), (1, (5, 3, 2)), (-1, (7, 3)))
        ),
    ]


DEQUANTIZE = [
    values(
        f"single-{dtype}",
        ops.Dequantize(),
        operand("batch", 5, dtype=dtype, draw=integers(*bounds)),
        operand(draw=positive),
        operand(dtype=dtype, draw=exactly(zero_point)),
        batch=3,
    )
    for dtype, bounds, zero_point in ((U8, (0, 256), 7), (I8, (-128, 128), -3))
]
DEQUANTIZE += [
    values(
        "axis",
        ops.Dequantize(1),
        operand(4, 3, 2, dtype=I8, draw=integers(-128, 128)),
        operand(3, draw=positive),
        operand(3, dtype=I8, draw=exactly(0, 5, -100)),
    ),
    values(
        "without-zero-point",
        ops.Dequantize(),
        operand(4, 3, dtype=U8, draw=integers(0, 256)),
        operand(draw=positive),
    ),
    values(
        "bias",
        ops.Dequantize(0),
        operand(3, dtype=I32, draw=integers(-(2**24), 2**24)),
        operand(3, draw=positive),
    ),
    values(
        "float16",
        ops.Dequantize(),
        operand(5, dtype=U8, draw=integers(0, 256)),
        operand(dtype=F16, draw=QUARTER),
    ),
    values("empty", ops.Dequantize(), operand(0, 2, dtype=U8), operand(draw=positive)),
]
DYNAMIC = [
    values("both-signs", ops.DynamicQuantize(), operand("batch", 7, draw=wide), batch=3),
    values("positive", ops.DynamicQuantize(), operand(4, 5, draw=positive)),
    values("negative", ops.DynamicQuantize(), operand(3, draw=exactly(-1.0, -2.0, -0.1))),
    values("zeros", ops.DynamicQuantize(), operand(4, draw=exactly(0, 0, 0, 0))),
    values("outlier", ops.DynamicQuantize(), operand(4, 5, draw=scattered(300.0))),
]
PRODUCTS = [
    values(
        name,
        ops.IntegerMatmul(),
        operand(*shape, dtype=U8, draw=integers(0, 128)),
        operand(shape[-1], 3, dtype=I8, draw=integers(-64, 65)),
        operand(dtype=U8, draw=exactly(zero_point)),
        batch=4,
    )
    for name, shape, zero_point in (
        ("matrix", ("batch", 5), 0),
        ("zero-point", ("batch", 70), 9),
        ("rank-3", (2, "batch", 6), 100),
        ("one", (1, 1), 255),
    )
]
CASES: list[Case] = [
    *_quantize(ops.Quantize),
    *_quantize(ops.FakeQuantize),
    *DEQUANTIZE,
    *DYNAMIC,
    *PRODUCTS,
]
