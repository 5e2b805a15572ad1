"""Cases of transposed convolution and resizing."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.dims import symbol
from kcompile.ir.ops.resizing import ASYMMETRIC
from kcompile.ir.ops.transposed import INPUT_OUTPUT_SPATIAL
from kcompile.ir.ops.windows import CHANNELS_FIRST
from kcompile.ir.types import DType
from tests.ops.case import (
    Case,
    Operand,
    integers,
    operand,
    scattered,
    smooth,
    special,
    unit,
    values,
)

BF16, F16 = DType.BFLOAT16, DType.FLOAT16
FIRST = {"data_format": CHANNELS_FIRST}
IOHW = {"kernel_format": INPUT_OUTPUT_SPATIAL}
Pairs = tuple[tuple[int, int], ...]
NONE: Pairs = ((0, 0), (0, 0))


def conv_transpose(
    strides: tuple[int, ...],
    padding: Pairs = NONE,
    output_padding: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
    **attributes: str,
) -> ops.ConvTranspose:
    return ops.ConvTranspose(strides, padding, output_padding, dilation, **attributes)


def image(*shape: int | str, dtype: DType = DType.FLOAT32) -> Operand:
    return operand(*shape, dtype=dtype, draw=unit)


def line(
    stride: int, padding: tuple[int, int], extra: int, dilation: int = 1, **attributes: str
) -> ops.ConvTranspose:
    return ops.ConvTranspose((stride,), (padding,), (extra,), (dilation,), **attributes)


CONVOLUTIONS = [
    smooth("valid", conv_transpose((1, 1)), image("n", 3, 4, 2), image(3, 2, 3, 2), n=2),
    smooth("bias", conv_transpose((2, 3)), image("n", 3, 2, 2), image(3, 2, 3, 2), image(3), n=1),
    smooth("cut", conv_transpose((2, 2), ((1, 0), (0, 2))), image(2, 3, 4, 2), image(3, 4, 1, 2)),
    smooth(
        "extra",
        conv_transpose((2, 3), ((1, 0), (0, 0)), (1, 2)),
        image(1, 3, 4, 2),
        image(3, 2, 2, 2),
        image(2),
    ),
    smooth(
        "dilated", conv_transpose((1, 1), dilation=(2, 3)), image(1, 3, 4, 2), image(3, 2, 1, 2)
    ),
    smooth(
        "strided-dilated",
        conv_transpose((2, 3), ((1, 2), (0, 1)), (1, 0), (3, 2)),
        image(1, 3, 4, 2),
        image(3, 2, 2, 2),
    ),
    smooth(
        "gaps", conv_transpose((3, 4), output_padding=(2, 3)), image(1, 3, 2, 1), image(1, 2, 2, 1)
    ),
    smooth(
        "first",
        conv_transpose((2, 1), ((1, 0), (1, 1)), **FIRST),
        image("n", 2, 5, 4),
        image(3, 3, 4, 2),
        image(4),
        n=2,
    ),
    smooth(
        "first-iohw", conv_transpose((2, 1), **FIRST, **IOHW), image(2, 2, 3, 4), image(2, 3, 3, 2)
    ),
    smooth("iohw", conv_transpose((1, 2), **IOHW), image(1, 3, 2, 2), image(2, 3, 1, 2)),
    smooth("1d", line(2, (0, 1), 0), image("n", "t", 2), image(3, 4, 2), image(4), n=2, t=5),
    smooth("1d-first", line(3, (1, 0), 2, **FIRST), image(2, 2, 5), image(2, 3, 2)),
    smooth(
        "3d",
        ops.ConvTranspose((1, 2, 1), ((0, 0), (0, 1), (1, 0)), (0, 1, 0), (1, 1, 2)),
        image(1, 2, 3, 2, 2),
        image(2, 3, 2, 1, 2),
    ),
    smooth(
        "symbolic-image",
        conv_transpose((2, 2), ((0, 1), (0, 1))),
        image("n", "h", "w", 1),
        image(3, 3, 2, 1),
        n=1,
        h=3,
        w=4,
    ),
    values("one", conv_transpose((1, 1)), image(1, 1, 1, 1), image(1, 1, 1, 1)),
    values("empty-batch", conv_transpose((2, 2)), image(0, 3, 4, 2), image(3, 3, 3, 2), image(3)),
    values("special", conv_transpose((1, 2)), operand(1, 4, 5, 1, draw=special), image(2, 2, 2, 1)),
    values(
        "float16",
        conv_transpose((2, 1)),
        image(1, 3, 4, 2, dtype=F16),
        image(3, 3, 2, 2, dtype=F16),
    ),
    values(
        "bfloat16",
        conv_transpose((2, 1)),
        image(1, 3, 4, 2, dtype=BF16),
        image(3, 3, 2, 2, dtype=BF16),
        image(2, dtype=BF16),
    ),
]

H, W, T = symbol("h"), symbol("w"), symbol("t")
NANS = scattered(np.nan, -np.inf, np.inf)

NEAREST = [
    smooth("nearest", ops.Resize((6, 12)), image("n", 3, 4, 2), n=2),
    smooth("nearest-other-factors", ops.Resize((7, 9)), image(2, 3, 4, 2)),
    smooth("nearest-smaller", ops.Resize((2, 5)), image(1, 6, 7, 2)),
    smooth("nearest-same", ops.Resize((3, 4)), image(1, 3, 4, 2)),
    smooth("nearest-first", ops.Resize((6, 4), **FIRST), image(2, 2, 3, 4)),
    smooth("nearest-1d", ops.Resize((3 * T,)), image("n", "t", 2), n=2, t=3),
    smooth("nearest-3d", ops.Resize((4, 3, 6)), image(1, 2, 3, 2, 2)),
    smooth("nearest-symbolic", ops.Resize((2 * H, 3 * W)), image("n", "h", "w", 2), n=1, h=3, w=2),
    smooth("nearest-to-number", ops.Resize((5, 4)), image("n", "h", "w", 2), n=1, h=3, w=7),
    values("nearest-half", ops.Resize((H // 2, W // 2)), image(1, "h", "w", 1), h=7, w=4),
    values("nearest-special", ops.Resize((4, 6)), operand(1, 2, 3, 1, draw=NANS)),
    values("nearest-one", ops.Resize((1, 3)), image(1, 1, 1, 1)),
    values("nearest-empty-batch", ops.Resize((4, 6)), image(0, 2, 3, 1)),
    values("nearest-bool", ops.Resize((4, 6)), operand(1, 2, 3, 1, dtype=DType.BOOL)),
    values(
        "nearest-int64",
        ops.Resize((4, 6)),
        operand(1, 2, 3, 2, dtype=DType.INT64, draw=integers(-(2**40), 2**40)),
    ),
    values("nearest-uint8", ops.Resize((4, 5)), operand(1, 2, 3, 2, dtype=DType.UINT8)),
    values("nearest-int32", ops.Resize((4, 6)), operand(1, 2, 3, 2, dtype=DType.INT32)),
    values("nearest-float16", ops.Resize((4, 6)), operand(1, 2, 3, 2, dtype=F16)),
    values("nearest-bfloat16", ops.Resize((4, 6)), operand(1, 2, 3, 2, dtype=BF16)),
]


def _weighted(method: str) -> list[Case]:
    def resize(*size: object, **attributes: object) -> ops.Resize:
        return ops.Resize(size, method, **attributes)  # type: ignore[arg-type]

    return [
        smooth(method, resize(6, 8), image("n", 3, 4, 2), n=2),
        smooth(f"{method}-other-factors", resize(7, 9), image(2, 3, 4, 2)),
        smooth(f"{method}-smaller", resize(2, 5), image(1, 6, 7, 2)),
        smooth(f"{method}-one-axis", resize(6, 3), image(1, 6, 7, 2)),
        smooth(f"{method}-first", resize(5, 4, **FIRST), image(2, 2, 3, 4)),
        smooth(f"{method}-antialias", resize(3, 9, antialias=True), image(2, 7, 4, 2)),
        values(f"{method}-one", resize(1, 3), image(1, 1, 1, 1)),
        values(f"{method}-long", resize(2, 700), image(1, 2, 300, 1)),
        values(f"{method}-empty-batch", resize(4, 6), image(0, 2, 3, 1)),
        values(f"{method}-float16", resize(4, 7), image(1, 2, 3, 2, dtype=F16)),
        values(f"{method}-bfloat16", resize(4, 7), image(1, 2, 3, 2, dtype=BF16)),
    ]


def _symbolic(method: str) -> Case:
    shapes = image("n", "h", "w", 2)
    return smooth(f"{method}-symbolic", ops.Resize((2 * H, 3 * W), method), shapes, n=2, h=3, w=4)


def _asymmetric() -> list[Case]:
    def resize(*size: object, **attributes: str) -> ops.Resize:
        return ops.Resize(size, "bilinear", coordinates=ASYMMETRIC, **attributes)  # type: ignore[arg-type]

    return [
        smooth("asymmetric", resize(6, 8), image("n", 3, 4, 2), n=2),
        smooth("asymmetric-other-factors", resize(7, 9), image(2, 3, 4, 2)),
        smooth("asymmetric-smaller", resize(2, 5), image(1, 6, 7, 2)),
        smooth("asymmetric-first", resize(9, 4, **FIRST), image(2, 2, 3, 4)),
        smooth("asymmetric-symbolic", resize(2 * H, 3 * W), image("n", "h", "w", 2), n=1, h=3, w=4),
        values("asymmetric-one", resize(1, 3), image(1, 1, 1, 1)),
        values("asymmetric-long", resize(2, 700), image(1, 2, 300, 1)),
        values("asymmetric-float16", resize(4, 7), image(1, 2, 3, 2, dtype=F16)),
    ]


CASES: list[Case] = [
    *CONVOLUTIONS,
    *NEAREST,
    *(
        case
        for method in ("bilinear", "bicubic", "lanczos3", "lanczos5")
        for case in _weighted(method)
    ),
    *map(_symbolic, ("bilinear", "bicubic")),
    *_asymmetric(),
    smooth(
        "bilinear-to-number", ops.Resize((5, 4), "bilinear"), image("n", "h", "w", 1), n=1, h=3, w=7
    ),
]
