"""Cases of constants, reductions, shape ops and products of matrices."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.dims import symbol
from kcompile.ir.literal import Literal
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from tests.ops.case import (
    Case,
    exactly,
    integers,
    operand,
    positive,
    scattered,
    smooth,
    special,
    unit,
    values,
)

BF16, F16, F64, I8, I32, I64, U8 = (
    DType.BFLOAT16,
    DType.FLOAT16,
    DType.FLOAT64,
    DType.INT8,
    DType.INT32,
    DType.INT64,
    DType.UINT8,
)
BATCH = symbol("batch")

CONSTANTS = [
    values(name, ops.Constant(Literal(array)))
    for name, array in (
        ("scalar", np.float32(1.5)),
        ("special", np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)),
        ("matrix", np.arange(6, dtype=np.int32).reshape(2, 3)),
        ("empty", np.zeros((0, 2), np.float32)),
        ("bool", np.array([True, False])),
        ("int64", np.array([2**40, -1])),
        ("float16", np.array([0.1, 65504], np.float16)),
        ("bfloat16", np.array([0.1, 3e38], BF16.numpy)),
        ("strided", np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]),
    )
]


def _reduction(reduction: type[Op], is_integer: bool = True) -> list[Case]:
    def op(*axes: int, keepdims: bool = False) -> Op:
        return reduction(axes, keepdims)  # type: ignore[call-arg]

    cases = [
        smooth("last", op(-1), operand("batch", 3, 4, draw=positive), batch=2),
        smooth("two", op(0, 2), operand("batch", 3, 4, draw=positive), batch=2),
        smooth("keepdims", op(1, keepdims=True), operand(2, 3, draw=positive)),
        smooth("all", op(0, 1), operand(3, 5, draw=positive)),
        smooth("none", op(), operand(3, draw=positive)),
        values("special", op(1), operand(9, 3, draw=special)),
        values("infinite", op(0), operand(3, 9, draw=scattered(np.inf, -np.inf))),
        values("of-nothing", op(0), operand(0, 3)),
        values("empty-result", op(1), operand(0, 3)),
        values("one", op(0), operand(1, 3)),
        values("float16", op(1), operand(3, 7, dtype=F16, draw=unit)),
        values("bfloat16", op(1), operand(3, 7, dtype=BF16, draw=unit)),
    ]
    if is_integer:
        cases += [
            values("int32", op(0), operand(4, 3, dtype=I32, draw=integers(-9, 9))),
            values("int8-wraps", op(0), operand(4, 3, dtype=I8, draw=integers(90, 120))),
            values("uint8-of-nothing", op(1), operand(4, 0, dtype=U8)),
            values("int64", op(0), operand(4, 3, dtype=I64, draw=integers(2**40, 2**41))),
        ]
    return cases


ARG_REDUCTIONS = [
    case
    for op in (ops.Argmax, ops.Argmin)
    for case in (
        values("last", op(-1), operand("batch", 7), batch=3),
        values("first-axis", op(0), operand(7, 3)),
        values("keepdims", op(1, keepdims=True), operand(2, 3, 4)),
        values("ties", op(1), operand(4, 9, dtype=I32, draw=integers(0, 3))),
        values("special", op(1), operand(9, 5, draw=special)),
        values("nan-twice", op(0), operand(4, draw=exactly(1.0, np.nan, 3.0, np.nan))),
        values("infinite", op(0), operand(3, draw=exactly(-np.inf, -np.inf, -np.inf))),
        values("int64", op(1, dtype=I64), operand(3, 5)),
        values("uint8", op(1, dtype=U8), operand(3, 5, dtype=U8)),
        values("empty-batch", op(1), operand(0, 5)),
        values("float16", op(1), operand(3, 5, dtype=F16)),
        values("bfloat16", op(1), operand(3, 5, dtype=BF16)),
    )
]

SHAPES = [
    smooth("flatten", ops.Reshape((BATCH, 12)), operand("batch", 3, 4), batch=2),
    smooth("split", ops.Reshape((BATCH, 2, 3)), operand("batch", 6), batch=5),
    values("scalar", ops.Reshape(()), operand(1, 1)),
    values("empty", ops.Reshape((3, 0)), operand(0, 5)),
    values("int8", ops.Reshape((3, 2)), operand(6, dtype=I8)),
    smooth("reverse", ops.Transpose((2, 1, 0)), operand("batch", 3, 4), batch=2),
    smooth("channels-first", ops.Transpose((0, 3, 1, 2)), operand("batch", 2, 3, 4), batch=1),
    values("scalar", ops.Transpose(()), operand()),
    values("empty", ops.Transpose((1, 0)), operand(0, 3)),
    smooth("rows", ops.BroadcastTo((BATCH, 2, 3)), operand("batch", 1, 3), batch=2),
    smooth("new-axes", ops.BroadcastTo((4, 2, 3)), operand(3)),
    values("scalar-to-empty", ops.BroadcastTo((0, 2)), operand()),
    values("bool", ops.BroadcastTo((2, 3)), operand(2, 1, dtype=DType.BOOL)),
    smooth("rows", ops.Concatenate(0), operand("batch", 3), operand(2, 3), batch=2),
    smooth("last", ops.Concatenate(-1), operand(2, 1), operand(2, 3), operand(2, 2)),
    smooth("one", ops.Concatenate(0), operand(3)),
    values("empty-part", ops.Concatenate(1), operand(2, 0), operand(2, 3)),
    values("int64", ops.Concatenate(0), operand(2, dtype=I64), operand(1, dtype=I64)),
    smooth("middle", ops.Slice((0, 1), (BATCH, 4), (1, 1)), operand("batch", 5), batch=3),
    smooth("strided", ops.Slice((1, 0), (7, 5), (3, 2)), operand(7, 5)),
    smooth("symbolic", ops.Slice((1,), (BATCH - 1,), (2,)), operand("batch"), batch=7),
    values("empty", ops.Slice((2,), (2,), (1,)), operand(5)),
    smooth("zeros", ops.Pad(((0, 0), (1, 2))), operand("batch", 3), batch=2),
    smooth("value", ops.Pad(((2, 0), (0, 1)), value=1.5), operand(2, 3)),
    values("infinite", ops.Pad(((1, 1),), value=-np.inf), operand(3)),
    values("int32", ops.Pad(((1, 1),), value=7.0), operand(3, dtype=I32)),
    values("bfloat16", ops.Pad(((1, 1),), value=0.1), operand(3, dtype=BF16)),
    values("of-empty", ops.Pad(((1, 0), (0, 0))), operand(0, 2)),
]

BELOW_5 = integers(0, 5)
SELECTIONS = [
    smooth(
        "rows", ops.Gather(), operand(5, 3), operand("batch", 2, dtype=I32, draw=BELOW_5), batch=4
    ),
    smooth("columns", ops.Gather(-1), operand(2, 5), operand(3, dtype=I32, draw=BELOW_5)),
    smooth("middle", ops.Gather(1), operand(2, 5, 3), operand(2, 2, dtype=I32, draw=BELOW_5)),
    smooth("scalar-index", ops.Gather(), operand(5, 2), operand(dtype=I32, draw=BELOW_5)),
    values("int64", ops.Gather(), operand(5, 2), operand(3, dtype=I64, draw=BELOW_5)),
    values("uint8", ops.Gather(), operand(5, 2), operand(3, dtype=U8, draw=BELOW_5)),
    values("of-int32", ops.Gather(), operand(5, dtype=I32), operand(3, dtype=I32, draw=BELOW_5)),
    values("no-indices", ops.Gather(), operand(5, 2), operand(0, dtype=I32)),
    values("special", ops.Gather(), operand(5, draw=special), operand(9, dtype=I32, draw=BELOW_5)),
    values("default", ops.OneHot(4), operand("batch", dtype=I32, draw=integers(0, 4)), batch=5),
    values("outside", ops.OneHot(3), operand(5, dtype=I32, draw=exactly(-1, 0, 2, 3, 99))),
    values("scalar", ops.OneHot(3), operand(dtype=I32, draw=exactly(1))),
    values("int8-many", ops.OneHot(300), operand(3, dtype=I8, draw=exactly(-1, 44, 127))),
    values("int64", ops.OneHot(3), operand(2, 2, dtype=I64, draw=exactly(0, 2, 2**32 + 1, 1))),
    values("bool", ops.OneHot(3, DType.BOOL), operand(4, dtype=I32, draw=integers(0, 3))),
    values("int32", ops.OneHot(3, I32), operand(4, dtype=U8, draw=integers(0, 3))),
    values("depth-0", ops.OneHot(0), operand(4, dtype=I32)),
    values("static", ops.Iota(5)),
    values("empty", ops.Iota(0)),
    values("float32", ops.Iota(3, DType.FLOAT32)),
    values("bfloat16", ops.Iota(9, BF16)),
    values("int64", ops.Iota(3, I64)),
    Case("iota-symbolic", ops.Iota(BATCH * 2), (), {"batch": 3}, (operand("batch"),)),
    Case("dim_size-symbol", ops.DimSize(BATCH), (), {"batch": 3}, (operand("batch"),)),
    Case(
        "dim_size-float",
        ops.DimSize(BATCH * 4, DType.FLOAT32),
        (),
        {"batch": 5},
        (operand("batch"),),
    ),
    values("static", ops.DimSize(7, I64)),
]

PRODUCTS = [
    smooth("matrices", ops.Matmul(), operand("batch", 3), operand(3, 4), batch=2),
    smooth("stack-matrix", ops.Matmul(), operand("batch", 3, 5), operand(5, 2), batch=2),
    smooth("matrix-stack", ops.Matmul(), operand(3, 5), operand(2, 5, 4)),
    smooth("stacks", ops.Matmul(), operand("batch", 1, 3, 5), operand(2, 5, 4), batch=3),
    values("int32", ops.Matmul(), operand(3, 4, dtype=I32), operand(4, 2, dtype=I32)),
    values("int8-wraps", ops.Matmul(), operand(3, 4, dtype=I8), operand(4, 2, dtype=I8)),
    values("float16", ops.Matmul(), operand(3, 7, dtype=F16), operand(2, 7, 2, dtype=F16)),
    values("bfloat16", ops.Matmul(), operand(3, 7, dtype=BF16), operand(7, 2, dtype=BF16)),
    values("special", ops.Matmul(), operand(5, 3, draw=special), operand(3, 4)),
    values("sum-of-nothing", ops.Matmul(), operand(2, 0), operand(0, 3)),
    values("empty-stack", ops.Matmul(), operand(0, 2, 3), operand(3, 4)),
    values("no-columns", ops.Matmul(), operand(2, 3), operand(3, 0)),
    smooth("plain", ops.Linear(), operand("batch", 3), operand(3, 4), batch=2),
    smooth("bias", ops.Linear(), operand("batch", 3), operand(3, 4), operand(4), batch=2),
    smooth(
        "time",
        ops.Linear(),
        operand("batch", "time", 3),
        operand(3, 4),
        operand(4),
        batch=2,
        time=3,
    ),
    smooth("vector", ops.Linear(), operand(3), operand(3, 4), operand(4)),
    values(
        "int32",
        ops.Linear(),
        operand(3, 4, dtype=I32),
        operand(4, 2, dtype=I32),
        operand(2, dtype=I32),
    ),
    values("float64", ops.Linear(), operand(2, 3, dtype=F64), operand(3, 4, dtype=F64)),
    values(
        "float16",
        ops.Linear(),
        operand(2, 3, dtype=F16),
        operand(3, 4, dtype=F16),
        operand(4, dtype=F16),
    ),
    values(
        "bfloat16",
        ops.Linear(),
        operand(2, 3, dtype=BF16),
        operand(3, 4, dtype=BF16),
        operand(4, dtype=BF16),
    ),
    values("no-features", ops.Linear(), operand(2, 3, 0), operand(0, 4), operand(4)),
    values("empty-batch", ops.Linear(), operand(0, 2, 3), operand(3, 4), operand(4)),
    values("one", ops.Linear(), operand(1, 1), operand(1, 1), operand(1)),
]

CASES: list[Case] = [
    *CONSTANTS,
    *_reduction(ops.ReduceMax),
    *_reduction(ops.ReduceMean, is_integer=False),
    *_reduction(ops.ReduceMin),
    *_reduction(ops.ReduceProd),
    *_reduction(ops.ReduceSum),
    *ARG_REDUCTIONS,
    *SHAPES,
    *SELECTIONS,
    *PRODUCTS,
]
