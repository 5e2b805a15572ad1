"""Cases of elementwise ops and activations."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from tests.ops.case import (
    Case,
    Draw,
    exactly,
    integers,
    normal,
    operand,
    positive,
    scattered,
    smooth,
    special,
    unit,
    values,
)

BF16, F16, I8, I32, U8, U32 = (
    DType.BFLOAT16,
    DType.FLOAT16,
    DType.INT8,
    DType.INT32,
    DType.UINT8,
    DType.UINT32,
)


def _float_unary(op: Op, draw: Draw = normal) -> list[Case]:
    """Cases that every differentiable function of one float has."""
    label = "default" if op == type(op)() else repr(op).partition("(")[2].rstrip(")")
    return [
        smooth(f"{label}", op, operand("batch", 5, draw=draw), batch=3),
        smooth(f"{label}-scalar", op, operand(draw=draw)),
        values(f"{label}-special", op, operand(4, 3, draw=special)),
        values(f"{label}-empty", op, operand(0, 3)),
        values(f"{label}-float16", op, operand(7, dtype=F16, draw=draw)),
        values(f"{label}-bfloat16", op, operand(7, dtype=BF16, draw=draw)),
    ]


FLOAT_UNARY = [
    case
    for op, draw in (
        (ops.Ceil(), normal),
        (ops.Cos(), normal),
        (ops.Erf(), normal),
        (ops.Exp(), normal),
        (ops.Expm1(), normal),
        (ops.Floor(), normal),
        (ops.Log(), positive),
        (ops.Log1p(), positive),
        (ops.Round(), normal),
        (ops.Rsqrt(), positive),
        (ops.Sin(), normal),
        (ops.Sqrt(), positive),
        (ops.Relu(), normal),
        (ops.Sigmoid(), normal),
        (ops.Softplus(), normal),
        (ops.Softsign(), normal),
        (ops.Tanh(), normal),
        (ops.Elu(), normal),
        (ops.Elu(alpha=0.3), normal),
        (ops.LeakyRelu(), normal),
        (ops.HardSigmoid(), normal),
        (ops.HardSwish(), normal),
        (ops.LeakyRelu(negative_slope=0.01), normal),
        (ops.Gelu(), normal),
        (ops.Gelu(approximate=True), normal),
    )
    for case in _float_unary(op, draw)
]

LARGE = exactly(-200.0, -100.0, -30.0, -9.0, 9.0, 30.0, 100.0, 200.0)
EXTREMES = [
    *(
        values("large", op, operand(8, draw=LARGE))
        for op in (
            ops.Elu(),
            ops.Erf(),
            ops.Exp(),
            ops.Gelu(),
            ops.Sigmoid(),
            ops.Softplus(),
            ops.Tanh(),
        )
    ),
    values("approximate-large", ops.Gelu(approximate=True), operand(8, draw=LARGE)),
    values("tiny", ops.Expm1(), operand(3, draw=exactly(1e-7, -1e-7, 0.0))),
    values("tiny", ops.Log1p(), operand(3, draw=exactly(1e-7, -1e-7, -1.0))),
    values("halves", ops.Round(), operand(6, draw=exactly(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5))),
]

NUMERIC_UNARY = [
    case
    for op in (ops.Absolute(), ops.Negative(), ops.Sign())
    for case in (
        *_float_unary(op),
        values("int32", op, operand(2, 3, dtype=I32, draw=integers(-5, 5))),
        values("int8-least", op, operand(3, dtype=I8, draw=exactly(-128, 0, 127))),
        values("uint8", op, operand(5, dtype=U8)),
    )
]

TESTS = [
    values("special", op, operand(3, 5, draw=special)) for op in (ops.IsFinite(), ops.IsNan())
] + [values("float16", op, operand(9, dtype=F16, draw=special)) for op in (ops.IsNan(),)]


def _binary(op: Op, draw: Draw = normal) -> list[Case]:
    return [
        smooth("same", op, operand("batch", 5, draw=draw), operand("batch", 5, draw=draw), batch=3),
        smooth("broadcast", op, operand(2, 1, 3, draw=draw), operand(4, 1, draw=draw)),
        smooth("scalar", op, operand(draw=draw), operand(3, draw=draw)),
        values("special", op, operand(4, 5, draw=special), operand(4, 5, draw=special)),
        values("special-row", op, operand(4, 5, draw=special), operand(5, draw=special)),
        values("empty", op, operand(0, 5), operand(1, 5)),
        values("float16", op, operand(5, dtype=F16, draw=draw), operand(5, dtype=F16, draw=draw)),
        values("bfloat16", op, operand(5, dtype=BF16, draw=draw), operand(dtype=BF16, draw=draw)),
    ]


def _integer_binary(op: Op, draw: Draw) -> list[Case]:
    return [
        values("int32", op, operand(4, 5, dtype=I32, draw=draw), operand(5, dtype=I32, draw=draw)),
        values("uint8", op, operand(5, dtype=U8, draw=draw), operand(5, dtype=U8, draw=draw)),
    ]


P_RELU = [
    smooth("same", ops.PRelu(), operand("batch", 5), operand("batch", 5), batch=3),
    smooth("channels", ops.PRelu(), operand(2, 4, 3), operand(3)),
    smooth("one", ops.PRelu(), operand(2, 4, 3), operand(1, 1)),
    values("special", ops.PRelu(), operand(4, 5, draw=special), operand(5)),
    values("empty", ops.PRelu(), operand(0, 5), operand(5)),
    values("float16", ops.PRelu(), operand(5, dtype=F16), operand(5, dtype=F16)),
    values("float64", ops.PRelu(), *[operand(5, dtype=DType.FLOAT64)] * 2),
]

BINARY = [
    *(
        case
        for op in (ops.Add(), ops.Subtract(), ops.Multiply(), ops.Maximum(), ops.Minimum())
        for case in (*_binary(op), *_integer_binary(op, integers(0, 99)))
    ),
    *_binary(ops.Divide(), positive),
    *_binary(ops.Remainder(), positive),
    *_binary(ops.Power(), positive),
    *_integer_binary(ops.Remainder(), integers(1, 9)),
    *_integer_binary(ops.Power(), integers(0, 4)),
    values(
        "signs",
        ops.Remainder(),
        operand(4, draw=exactly(5.5, -5.5, 5.5, -5.5)),
        operand(4, draw=exactly(2.0, 2.0, -2.0, -2.0)),
    ),
    values(
        "int32-signs",
        ops.Remainder(),
        operand(4, dtype=I32, draw=exactly(5, -5, 5, -5)),
        operand(4, dtype=I32, draw=exactly(3, 3, -3, -3)),
    ),
    values(
        "int8-wraps",
        ops.Add(),
        operand(2, dtype=I8, draw=exactly(127, -128)),
        operand(2, dtype=I8, draw=exactly(1, -1)),
    ),
    values(
        "by-zero",
        ops.Divide(),
        operand(3, draw=exactly(1.0, -1.0, 0.0)),
        operand(3, draw=exactly(0.0, 0.0, 0.0)),
    ),
]

FEW = integers(0, 3)
BOOL = DType.BOOL
COMPARISONS = [
    case
    for op in (
        ops.Equal(),
        ops.NotEqual(),
        ops.Less(),
        ops.LessEqual(),
        ops.Greater(),
        ops.GreaterEqual(),
    )
    for case in (
        values("int32", op, operand("n", 4, dtype=I32, draw=FEW), operand(dtype=I32), n=3),
        values("uint32", op, operand(5, dtype=U32, draw=FEW), operand(5, dtype=U32, draw=FEW)),
        values("special", op, operand(4, 3, draw=special), operand(4, 3, draw=special)),
        values("empty", op, operand(0), operand(1)),
        values("float16", op, operand(9, dtype=F16), operand(9, dtype=F16)),
    )
]

LOGIC = [
    *(
        values("broadcast", op, operand("n", 4, dtype=BOOL), operand(4, dtype=BOOL), n=3)
        for op in (ops.LogicalAnd(), ops.LogicalOr())
    ),
    values("vector", ops.LogicalNot(), operand(5, dtype=BOOL)),
    *(
        values("bool", op, operand(9, dtype=BOOL), operand(9, dtype=BOOL))
        for op in (ops.Equal(), ops.NotEqual())
    ),
    smooth("same", ops.Where(), operand("n", 4, dtype=BOOL), operand("n", 4), operand(4), n=3),
    smooth("broadcast", ops.Where(), operand(3, 1, dtype=BOOL), operand(), operand(2, 1, 4)),
    values(
        "special",
        ops.Where(),
        operand(8, dtype=BOOL),
        operand(8, draw=special),
        operand(8, draw=special),
    ),
    values("int8", ops.Where(), operand(5, dtype=BOOL), operand(dtype=I8), operand(5, dtype=I8)),
]

CLIPS = [
    smooth("both", ops.Clip(-0.5, 0.75), operand("batch", 5), batch=3),
    smooth("above", ops.Clip(0.0, np.inf), operand(5)),
    values("special", ops.Clip(0.0, 6.0), operand(4, 5, draw=special)),
    values("crossed", ops.Clip(1.0, -1.0), operand(5)),
    values("int32", ops.Clip(2.0, 5.0), operand(9, dtype=I32)),
    values("float16", ops.Clip(-0.5, 0.5), operand(9, dtype=F16)),
    values("bfloat16", ops.Clip(-0.5, 0.5), operand(9, dtype=BF16)),
]

CASTS = [
    values(f"{source}-to-{target}", ops.Cast(target), operand("n", 3, dtype=source, draw=draw), n=2)
    for source, target, draw in (
        (DType.FLOAT32, I32, scattered(-1.9, 1.9, 0.0)),
        (DType.FLOAT32, BOOL, special),
        (DType.FLOAT32, F16, special),
        (DType.FLOAT32, BF16, special),
        (F16, DType.FLOAT32, special),
        (BF16, DType.FLOAT32, special),
        (BF16, F16, normal),
        (I32, DType.FLOAT32, integers(-9, 9)),
        (I32, I8, integers(-1000, 1000)),
        (I32, U8, integers(-1000, 1000)),
        (U8, DType.FLOAT32, integers(0, 256)),
        (I32, BOOL, FEW),
        (BOOL, DType.FLOAT32, FEW),
        (BOOL, I32, FEW),
        (DType.FLOAT32, DType.FLOAT64, normal),
        (DType.INT64, I32, integers(-9, 9)),
        (I32, DType.INT64, integers(-9, 9)),
        (DType.INT64, DType.UINT64, integers(2**40, 2**41)),
        (DType.FLOAT32, DType.INT64, scattered(3e9, -3e9)),
    )
] + [
    smooth("identity", ops.Cast(DType.FLOAT64), operand(3, dtype=DType.FLOAT64)),
    values("empty", ops.Cast(I32), operand(0)),
]


def _softmaxes(op: ops.Softmax | ops.LogSoftmax, name: str) -> list[Case]:
    return [
        smooth(name, op, operand("batch", 5, 3), batch=2),
        values(f"{name}-special", op, operand(9, 5, draw=special)),
        values(f"{name}-masked", op, operand(3, 5, draw=scattered(-np.inf, -np.inf))),
        values(f"{name}-large", op, operand(4, 2, draw=scattered(1e4, -1e4, 3e38))),
        values(f"{name}-empty-batch", op, operand(0, 3)),
        values(f"{name}-no-classes", op, operand(3, 0, 0)),
        values(f"{name}-one-class", op, operand(1, 1)),
        values(f"{name}-float16", op, operand(3, 7, dtype=F16)),
        values(f"{name}-bfloat16", op, operand(3, 7, dtype=BF16)),
    ]


AXIS_ACTIVATIONS = [
    *_softmaxes(ops.Softmax(), "last"),
    *_softmaxes(ops.Softmax(axis=1), "axis1"),
    *_softmaxes(ops.LogSoftmax(), "last"),
    *_softmaxes(ops.LogSoftmax(axis=0), "axis0"),
    smooth("vector", ops.Softmax(), operand(7, draw=unit)),
]

CASES: list[Case] = [
    *FLOAT_UNARY,
    *EXTREMES,
    *NUMERIC_UNARY,
    *TESTS,
    *P_RELU,
    *BINARY,
    *COMPARISONS,
    *LOGIC,
    *CLIPS,
    *CASTS,
    *AXIS_ACTIVATIONS,
]
