"""Cases of the recurrent layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kcompile.ir import ops
from kcompile.ir.ops.recurrent import ACTIVATIONS
from kcompile.ir.types import DType
from tests.ops.case import Array, Case, Operand, operand, smooth, unit, values

BF16, F16 = DType.BFLOAT16, DType.FLOAT16

Recurrent = ops.Lstm | ops.Gru | ops.SimpleRnn
Bidirectional = ops.BidirectionalLstm | ops.BidirectionalGru | ops.BidirectionalRnn


def holes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Masks with holes; the first row is masked at the start, the last one everywhere."""
    mask = rng.random(shape) < 0.6
    mask[0] = np.arange(shape[1]) > 0
    if shape[0] > 1:
        mask[-1] = False
    return mask


def padded(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Masks of sequences that are padded at the end."""
    return np.arange(shape[1]) < rng.integers(1, shape[1] + 1, (shape[0], 1))


def weights(op: Recurrent, channels: int, units: int, dtype: DType) -> list[Operand]:
    width = op.num_gates * units
    bias = (2, width) if isinstance(op, ops.Gru) and op.reset_after else (width,)
    shapes = [(channels, width), (units, width), bias]
    return [operand(*shape, dtype=dtype, draw=unit) for shape in shapes]


def case(
    name: str,
    op: Recurrent,
    *,
    n: int = 3,
    t: int = 5,
    channels: int = 2,
    units: int = 3,
    bias: bool = True,
    initial: bool = False,
    mask: object = None,
    dropout: bool = False,
    dtype: DType = DType.FLOAT32,
    is_smooth: bool = True,
) -> Case:
    kernel, recurrent, bias_operand = weights(op, channels, units, dtype)
    state = operand("n", units, dtype=dtype, draw=unit)
    leading = ("t", "n") if op.time_major else ("n", "t")
    operands: list[Operand | None] = [
        operand(*leading, channels, dtype=dtype, draw=unit),
        kernel,
        recurrent,
        bias_operand if bias else None,
        *[state if initial else None] * op.num_states,
        operand("n", "t", dtype=DType.BOOL, draw=mask) if mask else None,  # type: ignore[arg-type]
    ]
    if dropout:
        operands += [operand("n", op.num_gates, size, draw=unit) for size in (channels, units)]
    while operands[-1] is None:
        operands.pop()
    return (smooth if is_smooth else values)(name, op, *operands, n=n, t=t)


def cases_of(op: Recurrent) -> list[Case]:
    reverse, zero = replace(op, reverse=True), replace(op, zero_masked=True)
    hard = replace(op, recurrent_activation="hard_sigmoid")
    return [
        case("plain", op),
        case("reverse", reverse),
        case("no-bias", op, bias=False),
        case("initial", op, initial=True, n=2),
        case("one", op, n=1, t=1, channels=1, units=1),
        case("one-step", op, t=1, initial=True),
        case("holes", op, mask=holes),
        case("holes-initial", op, mask=holes, initial=True, bias=False, t=7),
        case("holes-reverse", reverse, mask=holes, initial=True),
        case("holes-zero", zero, mask=holes, initial=True),
        case("holes-zero-reverse", replace(zero, reverse=True), mask=holes),
        case("padded", op, mask=padded),
        case("time-major", replace(op, time_major=True), initial=True),
        case("time-major-holes", replace(reverse, time_major=True), mask=holes),
        case("padded-one-row", op, mask=padded, n=1),
        case("hard-sigmoid", hard, is_smooth=False),
        case("float16", op, dtype=F16, is_smooth=False),
        case("bfloat16", op, dtype=BF16, mask=holes, is_smooth=False),
    ]


def both_ways(name: str, op: Bidirectional, **options: Any) -> Case:
    """The case of one direction, with drawn weights and states for the other one too."""
    one = case(name, op.direction(reverse=False), **options)
    names = one.op.operand_names()
    given = dict(zip(names, one.operands, strict=False))
    wanted = [given.get(operand.removeprefix("backward_")) for operand in op.operand_names()]
    while wanted[-1] is None:
        wanted.pop()
    return replace(one, name=f"{op.name}-{name}", op=op, operands=tuple(wanted))


def bidirectional_cases_of(op: Bidirectional) -> list[Case]:
    return [
        both_ways("plain", op),
        both_ways("no-bias", op, bias=False),
        both_ways("initial", op, initial=True, n=2),
        both_ways("one-step", op, n=1, t=1),
        both_ways("holes", op, mask=holes),
        both_ways("holes-initial", op, mask=holes, initial=True, t=7),
        both_ways("time-major", replace(op, time_major=True), initial=True),
        both_ways("time-major-holes", replace(op, time_major=True), mask=holes),
        both_ways("hard", replace(op, recurrent_activation="hard_sigmoid"), is_smooth=False),
        both_ways("float16", op, dtype=F16, is_smooth=False),
    ]


GRU_BEFORE = ops.Gru(reset_after=False)

CASES: list[Case] = [
    *cases_of(ops.Lstm()),
    *cases_of(ops.Gru()),
    *cases_of(ops.SimpleRnn()),
    *bidirectional_cases_of(ops.BidirectionalLstm()),
    *bidirectional_cases_of(ops.BidirectionalGru()),
    *bidirectional_cases_of(ops.BidirectionalRnn()),
    both_ways("before", ops.BidirectionalGru(reset_after=False), initial=True),
    case("before", GRU_BEFORE, initial=True),
    case("before-no-bias", GRU_BEFORE, bias=False),
    case("before-holes", replace(GRU_BEFORE, reverse=True), mask=holes),
    *(
        case(
            f"activation-{name}",
            type(op)(activation=name),
            is_smooth=name not in ("relu", "hard_sigmoid", "hard_sigmoid_keras2", "elu"),
        )
        for op in (ops.Lstm(), ops.Gru(), ops.SimpleRnn())
        for name in ACTIVATIONS
    ),
    *(
        case(f"recurrent-activation-{name}", ops.Lstm(recurrent_activation=name), is_smooth=False)
        for name in ACTIVATIONS
    ),
]

#: ONNX has no dropout inside of a recurrent layer.
DROPOUT_CASES: list[Case] = [
    case("dropout", op, dropout=True, mask=holes, initial=True)
    for op in (ops.Lstm(), ops.Gru(), GRU_BEFORE, ops.SimpleRnn())
]
