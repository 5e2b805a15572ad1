"""Cases of normalization, random numbers and losses."""

from __future__ import annotations

import numpy as np

from kcompile.ir import ops
from kcompile.ir.dims import symbol
from kcompile.ir.types import DType
from tests.ops.case import (
    Case,
    Operand,
    exactly,
    integers,
    operand,
    positive,
    probabilities,
    scattered,
    smooth,
    special,
    values,
)

BF16, F16, I8, I32, I64 = (
    DType.BFLOAT16,
    DType.FLOAT16,
    DType.INT8,
    DType.INT32,
    DType.INT64,
)


def spread(*shape: int, dtype: DType = DType.FLOAT32) -> Operand:
    """A variance or a scale."""
    return operand(*shape, dtype=dtype, draw=positive)


FROZEN = [
    smooth("plain", ops.BatchNorm(), operand("n", 3), operand(3), spread(3), n=2),
    smooth(
        "affine",
        ops.BatchNorm(),
        operand("n", 2, 3),
        operand(3),
        spread(3),
        spread(3),
        operand(3),
        n=2,
    ),
    smooth("scale", ops.BatchNorm(axis=1), operand(2, 3, 4), operand(3), spread(3), spread(3)),
    smooth(
        "shift", ops.BatchNorm(epsilon=0.1), operand(2, 3), operand(3), spread(3), None, operand(3)
    ),
    values("special", ops.BatchNorm(), operand(5, 3, draw=special), operand(3), spread(3)),
    values(
        "no-variance",
        ops.BatchNorm(),
        operand(2, 3),
        operand(3),
        operand(3, draw=exactly(0.0, 0.0, 0.0)),
    ),
    values("empty-batch", ops.BatchNorm(), operand(0, 3), operand(3), spread(3)),
    values(
        "float16",
        ops.BatchNorm(),
        operand(4, 3, dtype=F16),
        operand(3, dtype=F16),
        spread(3, dtype=F16),
    ),
    values(
        "bfloat16",
        ops.BatchNorm(),
        operand(4, 3, dtype=BF16),
        operand(3, dtype=BF16),
        spread(3, dtype=BF16),
    ),
]


def far(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Far from 0 in relation to the spread: the mean of squares would lose all digits."""
    return 1000 + 1024 * rng.integers(-3, 3, shape) / 1024


BATCH_STATISTICS = [
    smooth("plain", ops.BatchNormTraining(), operand("n", 3), n=5),
    smooth("affine", ops.BatchNormTraining(), operand("n", 2, 2, 3), spread(3), operand(3), n=2),
    smooth("axis", ops.BatchNormTraining(axis=1, epsilon=0.01), operand(3, 2, 4), spread(2)),
    smooth("shift", ops.BatchNormTraining(forced=True), operand(5, 2), None, operand(2)),
    values("far", ops.BatchNormTraining(), operand(64, 2, draw=far)),
    values("one", ops.BatchNormTraining(), operand(1, 3), spread(3), operand(3)),
    values("special", ops.BatchNormTraining(), operand(3, 9, draw=special)),
    values("empty-batch", ops.BatchNormTraining(), operand(0, 3)),
    values("float16", ops.BatchNormTraining(), operand(6, 3, dtype=F16)),
    values("bfloat16", ops.BatchNormTraining(), operand(6, 3, dtype=BF16)),
    values(
        "float16-large",
        ops.BatchNormTraining(),
        operand(4, 1, dtype=F16, draw=exactly(300, -300, 0, 900)),
    ),
]

RNG = operand(2, dtype=DType.UINT32, draw=integers(0, 2**32))
BATCH = symbol("batch")
RANDOM = [
    values("matrix", ops.RandomUniform((5, 7), 0), RNG),
    values("stream", ops.RandomUniform((9,), 2**32 - 1), RNG),
    values("scalar", ops.RandomUniform((), 3), RNG),
    values("empty", ops.RandomUniform((0, 3), 3), RNG),
    Case(
        "random_uniform-symbolic",
        ops.RandomUniform((BATCH, 3), 1),
        (RNG,),
        {"batch": 5},
        (operand("batch"),),
    ),
    smooth("half", ops.Dropout(0.5, 0), operand("batch", 7), RNG, batch=5),
    smooth("third", ops.Dropout(0.3, 1, forced=True), operand(9, 5), RNG),
    smooth("nothing", ops.Dropout(0.0, 1), operand(5), RNG),
    smooth("rows", ops.Dropout(0.5, 2, (BATCH, 1)), operand("batch", 3), RNG, batch=9),
    smooth("trailing", ops.Dropout(0.5, 2, (3,)), operand(4, 3), RNG),
    values("special", ops.Dropout(0.5, 3), operand(4, 9, draw=special), RNG),
    values("empty", ops.Dropout(0.5, 3), operand(0, 9), RNG),
    values("float16", ops.Dropout(0.3, 3), operand(4, 9, dtype=F16), RNG),
    values("bfloat16", ops.Dropout(0.3, 3), operand(4, 9, dtype=BF16), RNG),
]


def chances(*shape: int | str, dtype: DType = DType.FLOAT32) -> Operand:
    return operand(*shape, dtype=dtype, draw=probabilities)


CERTAIN = exactly(0.0, 1.0, 0.5, 1.0, 0.0, 0.0)
FAR = scattered(200.0, -200.0)
CATEGORICAL = [
    case
    for logits in (False, True)
    for op, name in ((ops.CategoricalCrossentropy(logits), f"logits-{logits}".lower()),)
    for case in (
        smooth(name, op, chances("n", 5), chances("n", 5), n=3),
        smooth(f"{name}-time", op, chances("n", 4, 3), chances("n", 4, 3), n=2),
        values(f"{name}-certain", op, chances(2, 3), operand(2, 3, draw=CERTAIN)),
        values(f"{name}-empty", op, chances(0, 3), chances(0, 3)),
        values(f"{name}-one-class", op, chances(2, 1), chances(2, 1)),
        values(f"{name}-float16", op, chances(2, 3, dtype=F16), chances(2, 3, dtype=F16)),
        values(f"{name}-bfloat16", op, chances(2, 3, dtype=BF16), chances(2, 3, dtype=BF16)),
    )
] + [
    smooth("axis", ops.CategoricalCrossentropy(axis=1), chances(2, 3, 4), chances(2, 3, 4)),
    smooth("logits-axis", ops.CategoricalCrossentropy(True, axis=0), chances(3, 4), operand(3, 4)),
    values("logits-far", ops.CategoricalCrossentropy(True), chances(4, 3), operand(4, 3, draw=FAR)),
    values("epsilon", ops.CategoricalCrossentropy(epsilon=0.2), chances(4, 3), chances(4, 3)),
]


def labels(*shape: int | str, dtype: DType = I32) -> Operand:
    return operand(*shape, dtype=dtype, draw=integers(0, 3))


SPARSE = [
    case
    for logits in (False, True)
    for op, name in ((ops.SparseCategoricalCrossentropy(logits), f"logits-{logits}".lower()),)
    for case in (
        smooth(name, op, labels("n"), chances("n", 3), n=5),
        smooth(f"{name}-time", op, labels("n", 4), chances("n", 4, 3), n=2),
        values(f"{name}-certain", op, labels(2), operand(2, 3, draw=CERTAIN)),
        smooth(
            f"{name}-outside",
            op,
            operand(4, dtype=I32, draw=exactly(-1, 0, 3, 2)),
            chances(4, 3),
        ),
        values(f"{name}-empty", op, labels(0), chances(0, 3)),
        values(f"{name}-int8", op, labels(2, dtype=I8), chances(2, 300)),
        values(f"{name}-int64", op, labels(2, dtype=I64), chances(2, 3)),
        values(f"{name}-float16", op, labels(2), chances(2, 3, dtype=F16)),
        values(f"{name}-bfloat16", op, labels(2), chances(2, 3, dtype=BF16)),
    )
] + [
    smooth("axis", ops.SparseCategoricalCrossentropy(axis=1), labels(2, 4), chances(2, 3, 4)),
    smooth("logits-axis", ops.SparseCategoricalCrossentropy(True, 0), labels(4), operand(3, 4)),
    values(
        "logits-far", ops.SparseCategoricalCrossentropy(True), labels(4), operand(4, 3, draw=FAR)
    ),
    values(
        "logits-masked",
        ops.SparseCategoricalCrossentropy(True),
        operand(2, dtype=I32, draw=exactly(0, 0)),
        operand(2, 3, draw=exactly(1.0, -np.inf, 2.0, 0.5, 0.1, -np.inf)),
    ),
]

BINARY = [
    case
    for logits in (False, True)
    for op, name in ((ops.BinaryCrossentropy(logits), f"logits-{logits}".lower()),)
    for case in (
        smooth(name, op, chances("n", 1), chances("n", 1), n=5),
        smooth(f"{name}-broadcast", op, chances(3), chances(2, 3)),
        values(f"{name}-certain", op, operand(6, draw=CERTAIN), operand(6, draw=CERTAIN)),
        values(f"{name}-empty", op, chances(0, 3), chances(0, 3)),
        values(f"{name}-float16", op, chances(5, dtype=F16), chances(5, dtype=F16)),
        values(f"{name}-bfloat16", op, chances(5, dtype=BF16), chances(5, dtype=BF16)),
    )
] + [
    values("logits-far", ops.BinaryCrossentropy(True), chances(9), operand(9, draw=FAR)),
    values("epsilon", ops.BinaryCrossentropy(epsilon=0.2), chances(9), chances(9)),
]

CASES: list[Case] = [
    *FROZEN,
    *BATCH_STATISTICS,
    *RANDOM,
    *CATEGORICAL,
    *SPARSE,
    *BINARY,
]
