"""Cases of every op, for all runtimes: odd sizes, sizes 0 and 1, symbols, NaN and infinities."""

from __future__ import annotations

from tests.ops import (
    attention_cases,
    control_cases,
    elementwise_cases,
    foreign_cases,
    matrix_cases,
    model_cases,
    quantization_cases,
    rearrangement_cases,
    recurrent_cases,
    resizing_cases,
    string_cases,
    window_cases,
)
from tests.ops.case import Case
from tests.ops.tolerances import assert_same, tolerance

__all__ = ["CASES", "Case", "assert_same", "tolerance"]

CASES: list[Case] = [
    *attention_cases.CASES,
    *control_cases.CASES,
    *elementwise_cases.CASES,
    *foreign_cases.CASES,
    *matrix_cases.CASES,
    *resizing_cases.CASES,
    *window_cases.CASES,
    *model_cases.CASES,
    *quantization_cases.CASES,
    *rearrangement_cases.CASES,
    *recurrent_cases.CASES,
    *string_cases.CASES,
]
