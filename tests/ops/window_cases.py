"""Cases of convolution and pooling."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL
from kcompile.ir.ops.windows import CHANNELS_FIRST, Padding
from kcompile.ir.types import DType
from tests.ops.case import Case, Operand, operand, scattered, smooth, special, unit, values

BF16, F16, I32 = DType.BFLOAT16, DType.FLOAT16, DType.INT32


def conv(
    padding: Padding,
    strides: tuple[int, ...] = (1, 1),
    dilation: tuple[int, ...] = (1, 1),
    **attributes: object,
) -> ops.Conv:
    return ops.Conv(strides, padding, dilation, **attributes)  # type: ignore[arg-type]


VALID = ((0, 0), (0, 0))
FIRST = {"data_format": CHANNELS_FIRST}
OIHW = {"kernel_format": OUTPUT_INPUT_SPATIAL}


def image(*shape: int | str) -> Operand:
    return operand(*shape, draw=unit)


CONVOLUTIONS = [
    smooth("valid", conv(VALID), image("n", 5, 6, 2), image(3, 2, 2, 3), n=2),
    smooth("bias", conv(VALID), image("n", 4, 4, 2), image(3, 3, 2, 3), image(3), n=1),
    smooth("same", conv("same"), image("n", 5, 4, 2), image(3, 3, 2, 3), n=2),
    smooth("same-even", conv("same"), image(1, 5, 6, 1), image(2, 4, 1, 2)),
    smooth("same-strided", conv("same", (2, 3)), image(2, 7, 8, 1), image(3, 2, 1, 2)),
    smooth("same-dilated", conv("same", dilation=(2, 3)), image(1, 7, 6, 2), image(3, 2, 2, 1)),
    values("same-short", conv("same", (3, 3)), image(1, 2, 4, 1), image(5, 1, 1, 2)),
    values("same-skips", conv("same", (3, 2)), image(1, 7, 6, 1), image(1, 1, 1, 2)),
    smooth("padded", conv(((2, 0), (1, 3))), image(1, 3, 4, 2), image(3, 3, 2, 2)),
    smooth("strided", conv(((1, 1), (0, 1)), (2, 1)), image(2, 5, 4, 2), image(3, 3, 2, 2)),
    smooth("dilated", conv(VALID, (1, 2), (2, 1)), image(1, 7, 5, 2), image(3, 2, 2, 2)),
    smooth("groups", conv("same", groups=2), image(2, 3, 4, 4), image(2, 3, 2, 6)),
    smooth("depthwise", conv("same", groups=3), image(2, 4, 4, 3), image(3, 3, 1, 6), image(6)),
    smooth("pointwise", conv(VALID), image("n", 3, 3, 4), image(1, 1, 4, 2), n=2),
    smooth("first", conv("same", **FIRST), image("n", 2, 5, 4), image(3, 2, 2, 3), image(3), n=2),
    smooth(
        "first-oihw", conv(VALID, (2, 1), **FIRST, **OIHW), image(2, 2, 5, 4), image(3, 2, 3, 2)
    ),
    smooth("oihw-groups", conv("same", groups=2, **OIHW), image(1, 4, 4, 4), image(6, 2, 3, 3)),
    smooth("1d", conv("same", (2,), (1,)), image("n", "t", 2), image(3, 2, 4), image(4), n=2, t=5),
    smooth("1d-causal", conv(((4, 0),), (1,), (2,)), image("n", "t", 2), image(3, 2, 3), n=1, t=6),
    smooth("1d-first", conv(((1, 2),), (1,), (1,), **FIRST), image(2, 2, 5), image(3, 2, 3)),
    smooth("3d", conv("same", (1, 2, 1), (1, 1, 1)), image(1, 3, 4, 2, 2), image(2, 3, 2, 2, 2)),
    values("one", conv(VALID), image(1, 1, 1, 1), image(1, 1, 1, 1)),
    values("empty-batch", conv("same"), image(0, 4, 4, 2), image(3, 3, 2, 3), image(3)),
    values("special", conv(VALID), operand(2, 5, 5, 1, draw=special), image(2, 2, 1, 2)),
    values(
        "symbolic-image",
        conv("same", (2, 2)),
        image("n", "h", "w", 1),
        image(3, 3, 1, 2),
        n=1,
        h=7,
        w=4,
    ),
    values(
        "float16",
        conv("same"),
        operand(1, 4, 4, 2, dtype=F16, draw=unit),
        operand(3, 3, 2, 2, dtype=F16, draw=unit),
    ),
    values(
        "bfloat16",
        conv("same"),
        operand(1, 4, 4, 2, dtype=BF16, draw=unit),
        operand(3, 3, 2, 2, dtype=BF16, draw=unit),
        operand(2, dtype=BF16),
    ),
]

NANS = scattered(np.nan, -np.inf, np.inf, -np.inf)


def _pools(pool: type[ops.MaxPool] | type[ops.AveragePool]) -> list[Case]:
    def op(
        window: tuple[int, ...], strides: tuple[int, ...], padding: Padding, **kw: str
    ) -> ops.MaxPool:
        return pool(window, strides, padding, **kw)  # type: ignore[return-value]

    return [
        smooth("valid", op((2, 2), (2, 2), VALID), image("n", 5, 4, 3), n=2),
        smooth("overlapping", op((3, 2), (1, 1), VALID), image(1, 5, 4, 2)),
        smooth("same", op((2, 2), (2, 2), "same"), image("n", 5, 4, 2), n=2),
        smooth("same-odd", op((3, 3), (2, 1), "same"), image(1, 6, 5, 2)),
        smooth("padded", op((3, 2), (2, 2), ((1, 2), (0, 1))), image(1, 5, 4, 2)),
        smooth("first", op((2, 3), (2, 2), "same", data_format=CHANNELS_FIRST), image(2, 3, 5, 4)),
        smooth("1d", op((2,), (2,), ((0, 0),)), image("n", "t", 3), n=2, t=5),
        smooth("3d", op((2, 1, 2), (1, 1, 2), "same"), image(1, 3, 2, 3, 2)),
        smooth("global", op((3, 4), (3, 4), VALID), image(2, 3, 4, 2)),
        values("gaps", op((1, 2), (3, 3), VALID), image(1, 7, 8, 1)),
        values("same-gaps", op((1, 1), (2, 3), "same"), image(1, 7, 8, 1)),
        values("special", op((2, 2), (1, 1), "same"), operand(2, 4, 5, 1, draw=NANS)),
        values(
            "all-negative-infinite",
            op((2, 2), (2, 2), "same"),
            operand(1, 3, 3, 1, draw=lambda rng, shape: np.full(shape, -np.inf)),
        ),
        values("empty-batch", op((2, 2), (2, 2), VALID), image(0, 4, 4, 2)),
        values("one", op((1, 1), (1, 1), VALID), image(1, 1, 1, 1)),
        values("float16", op((2, 2), (2, 2), "same"), operand(1, 5, 4, 2, dtype=F16)),
        values("bfloat16", op((2, 2), (2, 2), "same"), operand(1, 5, 4, 2, dtype=BF16)),
    ]


def _large(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Integers that float32 does not hold."""
    return rng.integers(-(2**31), 2**31, shape)


INTEGERS = [
    values(
        "int32", ops.MaxPool((2, 2), (2, 2), "same"), operand(2, 5, 4, 3, dtype=I32, draw=_large)
    ),
    values("int8", ops.MaxPool((2,), (3,), "same"), operand(1, "t", 2, dtype=DType.INT8), t=7),
    values("uint8", ops.MaxPool((2,), (1,), ((1, 1),)), operand(1, 4, 2, dtype=DType.UINT8)),
]

CASES: list[Case] = [
    *(*CONVOLUTIONS, *_pools(ops.MaxPool), *_pools(ops.AveragePool)),
    *INTEGERS,
]
