"""Cases of trigonometry, bits, integer quotients, sorting, indexing, running totals, flips."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.dims import symbol
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from tests.ops.case import (
    Array,
    Case,
    Draw,
    exactly,
    integers,
    normal,
    operand,
    scattered,
    smooth,
    special,
    unit,
    values,
)

BF16, F16, I8, I16, I32, I64, U8, U16, U32, U64, BOOL = (
    DType.BFLOAT16,
    DType.FLOAT16,
    DType.INT8,
    DType.INT16,
    DType.INT32,
    DType.INT64,
    DType.UINT8,
    DType.UINT16,
    DType.UINT32,
    DType.UINT64,
    DType.BOOL,
)


def above_one(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(1.1, 4.0, shape)


def _float_unary(op: Op, draw: Draw) -> list[Case]:
    return [
        smooth("default", op, operand("batch", 5, draw=draw), batch=3),
        smooth("scalar", op, operand(draw=draw)),
        values("special", op, operand(4, 3, draw=special)),
        values("empty", op, operand(0, 3)),
        values("float16", op, operand(7, dtype=F16, draw=draw)),
        values("bfloat16", op, operand(7, dtype=BF16, draw=draw)),
    ]


SIGNS = (1.0, -1.0, 0.0, -0.0, np.inf, -np.inf, np.nan)
TRIGONOMETRY = [
    *(
        case
        for op, draw in (
            (ops.Tan(), unit),
            (ops.Asin(), unit),
            (ops.Acos(), unit),
            (ops.Atan(), normal),
            (ops.Sinh(), normal),
            (ops.Cosh(), normal),
            (ops.Asinh(), normal),
            (ops.Acosh(), above_one),
            (ops.Atanh(), unit),
        )
        for case in _float_unary(op, draw)
    ),
    *(values("ends", op, operand(2, draw=exactly(-1, 1))) for op in (ops.Asin(), ops.Acos())),
    smooth("same", ops.Atan2(), operand("batch", 5), operand("batch", 5), batch=3),
    smooth("broadcast", ops.Atan2(), operand(2, 1, 3), operand(4, 1)),
    values(
        "signs",
        ops.Atan2(),
        operand(49, draw=exactly(*(a for a in SIGNS for _ in SIGNS))),
        operand(49, draw=exactly(*SIGNS * len(SIGNS))),
    ),
    values("empty", ops.Atan2(), operand(0, 5), operand(1, 5)),
    values("float16", ops.Atan2(), operand(9, dtype=F16), operand(9, dtype=F16)),
    values("bfloat16", ops.Atan2(), operand(9, dtype=BF16), operand(9, dtype=BF16)),
]

SIGNED_PAIRS = (exactly(7, 7, -7, -7, 6, -6, 0, 1), exactly(2, -2, 2, -2, 3, 3, -5, -9))
ARITHMETIC = [
    *(
        values(
            f"{dtype}-signs",
            ops.FloorDivide(),
            operand(8, dtype=dtype, draw=SIGNED_PAIRS[0]),
            operand(8, dtype=dtype, draw=SIGNED_PAIRS[1]),
        )
        for dtype in (I8, I16, I32, I64, F16, BF16, DType.FLOAT32)
    ),
    *(
        values(
            f"{dtype}-broadcast",
            ops.FloorDivide(),
            operand("n", 3, dtype=dtype, draw=integers(0, 99)),
            operand(3, dtype=dtype, draw=integers(1, 9)),
            n=2,
        )
        for dtype in (U8, U16, U32, I32)
    ),
    values(
        "rounding",
        ops.FloorDivide(),
        operand(2, draw=exactly(1, 6)),
        operand(2, draw=exactly(0.1, 0.1)),
    ),
    values("random", ops.FloorDivide(), operand(50), operand(50, draw=above_one)),
    values("empty", ops.FloorDivide(), operand(0, dtype=I32), operand(1, dtype=I32)),
    *(
        values(f"{d}-special", ops.IsInf(), operand(3, 5, dtype=d, draw=special))
        for d in (DType.FLOAT32, F16, BF16)
    ),
    values("empty", ops.IsInf(), operand(0, 5)),
]

INTEGERS = (I8, I16, I32, I64, U8, U16, U32, U64)
BITWISE = [
    *(
        values(
            f"{dtype}",
            op,
            operand("n", 4, dtype=dtype, draw=integers(-99, 99)),
            operand(4, dtype=dtype, draw=integers(-9, 99)),
            n=3,
        )
        for op in (ops.BitwiseAnd(), ops.BitwiseOr(), ops.BitwiseXor())
        for dtype in INTEGERS
    ),
    *(values(f"{dtype}", ops.BitwiseNot(), operand(2, 3, dtype=dtype)) for dtype in INTEGERS),
    *(
        values(
            f"{dtype}",
            op,
            operand(3, 70, dtype=dtype, draw=scattered(-1, -128, 127, among=integers(-99, 99))),
            operand(70, dtype=dtype, draw=exactly(*range(-2, 68))),
        )
        for op in (ops.ShiftLeft(), ops.ShiftRight())
        for dtype in INTEGERS
    ),
    *(
        values("empty", op, operand(0, dtype=I32), operand(1, dtype=I32))
        for op in (ops.BitwiseAnd(), ops.ShiftLeft())
    ),
]

TIME = symbol("time")
FEW = integers(0, 4)
SORTING = [
    *(
        case
        for largest in (True, False)
        for name in ("largest" if largest else "smallest",)
        for case in (
            smooth(f"{name}", ops.TopK(2, -1, largest), operand("batch", 5), batch=3),
            smooth(f"{name}-all-axis0", ops.TopK(5, 0, largest), operand(5, 3)),
            smooth(f"{name}-middle", ops.TopK(2, 1, largest), operand(2, 4, 3)),
            values(f"{name}-ties", ops.TopK(9, -1, largest), operand(3, 9, draw=FEW)),
            values(f"{name}-symbolic", ops.TopK(TIME, 1, largest), operand(2, "time", 2), time=4),
            values(f"{name}-special", ops.TopK(6, -1, largest), operand(4, 6, draw=special)),
            values(
                f"{name}-infinite",
                ops.TopK(6, -1, largest),
                operand(4, 6, draw=scattered(np.inf, -np.inf)),
            ),
            values(f"{name}-zero", ops.TopK(0, -1, largest), operand(2, 3)),
            values(f"{name}-empty-batch", ops.TopK(2, -1, largest), operand(0, 3)),
            values(f"{name}-one", ops.TopK(1, -1, largest), operand(1, 1)),
            *(
                values(
                    f"{name}-{dtype}",
                    ops.TopK(7, -1, largest),
                    operand(2, 7, dtype=dtype, draw=FEW),
                )
                for dtype in (F16, BF16, I8, I16, I32, I64, U8, U16, U32)
            ),
        )
    ),
    values("int64-index", ops.TopK(2, dtype=I64), operand(3, 4)),
]

INDEXING = [
    smooth("axis0", ops.GatherElements(0), operand(4, 3), operand(2, 3, dtype=I32, draw=FEW)),
    smooth(
        "last", ops.GatherElements(-1), operand("n", 4), operand("n", 6, dtype=I32, draw=FEW), n=3
    ),
    values("empty", ops.GatherElements(1), operand(2, 4), operand(2, 0, dtype=I32)),
    values("one", ops.GatherElements(0), operand(1), operand(3, dtype=I32, draw=exactly(0, 0, 0))),
    *(
        values(
            f"{dtype}",
            ops.GatherElements(1),
            operand(2, 4, 2, dtype=dtype),
            operand(2, 5, 2, dtype=U8, draw=FEW),
        )
        for dtype in (F16, BF16, BOOL, I8, I64, U8, U32)
    ),
    *(
        case
        for reduction in ("none", "add", "multiply", "max", "min")
        for op in (ops.ScatterNd(reduction),)
        for kind in (values if reduction == "multiply" else smooth,)  # JAX has no gradient of it
        for case in (
            kind(
                f"{reduction}-rows",
                op,
                operand("n", 3),
                operand(2, 1, dtype=I32, draw=exactly(2, 0)),
                operand(2, 3),
                n=4,
            ),
            kind(
                f"{reduction}-elements",
                op,
                operand(4, 3),
                operand(2, 2, dtype=I64, draw=exactly(2, 0, 3, 1)),
                operand(2),
            ),
            values(
                f"{reduction}-deep",
                op,
                operand(2, 2, 2),
                operand(2, 2, 1, dtype=I32, draw=exactly(1, 1, 1, 1))
                if reduction != "none"
                else operand(1, 2, 1, dtype=I32, draw=exactly(1, 0)),
                operand(2, 2, 2, 2) if reduction != "none" else operand(1, 2, 2, 2),
            ),
            values(
                f"{reduction}-nothing", op, operand(4, 3), operand(0, 1, dtype=I32), operand(0, 3)
            ),
            *(
                values(
                    f"{reduction}-{dtype}",
                    op,
                    operand(4, 2, dtype=dtype),
                    operand(2, 1, dtype=I32, draw=exactly(1, 3)),
                    operand(2, 2, dtype=dtype),
                )
                for dtype in (F16, BF16, I8, I32, I64, U8)
            ),
        )
    ),
    values(
        "none-bool",
        ops.ScatterNd(),
        operand(4, dtype=BOOL),
        operand(2, 1, dtype=I32, draw=exactly(1, 3)),
        operand(2, dtype=BOOL),
    ),
    *(
        values(
            f"{reduction}-twice",
            ops.ScatterNd(reduction),
            operand(3, 2),
            operand(7, 1, dtype=I32, draw=exactly(1, 1, 0, 1, 2, 0, 1)),
            operand(7, 2),
        )
        for reduction in ("add", "multiply", "max", "min")
    ),
]

CUMULATIVE = [
    *(
        case
        for exclusive in (False, True)
        for reverse in (False, True)
        for name in (f"{'exclusive' if exclusive else 'inclusive'}{'-reverse' if reverse else ''}",)
        for case in (
            smooth(name, ops.CumSum(1, exclusive, reverse), operand("batch", 5, 2), batch=3),
            smooth(f"{name}-vector", ops.CumSum(-1, exclusive, reverse), operand("n"), n=5),
            values(f"{name}-empty", ops.CumSum(0, exclusive, reverse), operand(0, 3)),
            values(f"{name}-one", ops.CumSum(0, exclusive, reverse), operand(1, 3)),
            values(
                f"{name}-int8",
                ops.CumSum(0, exclusive, reverse),
                operand(5, dtype=I8, draw=integers(90, 99)),
            ),
        )
    ),
    *(
        values(f"{dtype}", ops.CumSum(0), operand(5, 2, dtype=dtype))
        for dtype in (F16, BF16, I16, I32, I64, U8, U32)
    ),
    values("special", ops.CumSum(-1), operand(3, 4, draw=scattered(np.nan, np.inf, -np.inf))),
]

ANY_TYPE = (F16, BF16, BOOL, I8, I16, I32, I64, U8, U16, U32, U64)
REARRANGEMENT = [
    smooth("default", ops.Tile((1, 3)), operand("batch", 2), batch=3),
    smooth("both", ops.Tile((2, 1, 2)), operand(2, 1, 3)),
    values("symbolic", ops.Tile((TIME, 1)), operand(1, "time"), time=3),
    values("zero", ops.Tile((0, 2)), operand(2, 3)),
    values("scalar", ops.Tile(()), operand()),
    smooth("one", ops.Reverse((1,)), operand("batch", 5, 2), batch=3),
    smooth("all", ops.Reverse((0, -1)), operand("batch", 3), batch=2),
    values("none", ops.Reverse(()), operand(2, 3)),
    values("empty", ops.Reverse((0,)), operand(0, 3)),
    *(
        smooth(f"{'upper' if upper else 'lower'}{k}", ops.Trilu(k, upper), operand(*shape), **sizes)
        for upper in (True, False)
        for k in (0, 1, -2, 9)
        for shape, sizes in (((("n", 4, 3), {"n": 2}) if k else ((3, 5), {})),)
    ),
    values("symbolic", ops.Trilu(upper=False), operand("time", "time"), time=3),
    values("special", ops.Trilu(), operand(4, 5, draw=special)),
    values("empty", ops.Trilu(), operand(0, 3)),
    *(values(f"{dtype}", ops.Tile((2, 1)), operand(2, 3, dtype=dtype)) for dtype in ANY_TYPE),
    *(values(f"{dtype}", ops.Reverse((0,)), operand(2, 3, dtype=dtype)) for dtype in ANY_TYPE),
    *(values(f"{dtype}", ops.Trilu(), operand(2, 3, dtype=dtype)) for dtype in ANY_TYPE),
]

GRADIENT = [
    values("default", ops.StopGradient(), operand("batch", 5), batch=3),
    values("int32", ops.StopGradient(), operand(5, dtype=I32)),
]

CASES: list[Case] = [
    *TRIGONOMETRY,
    *ARITHMETIC,
    *BITWISE,
    *SORTING,
    *INDEXING,
    *CUMULATIVE,
    *REARRANGEMENT,
    *GRADIENT,
]
