"""The one table of tolerances between runtimes, and the comparison that uses it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.types import DType

#: Relative and absolute tolerance of each floating type; all other types compare exactly.
TOLERANCES: dict[DType, tuple[float, float]] = {
    DType.FLOAT64: (1e-12, 1e-13),
    DType.FLOAT32: (1e-5, 1e-6),
    DType.FLOAT16: (5e-3, 1e-3),
    DType.BFLOAT16: (3e-2, 1e-2),
}


def tolerance(dtype: DType) -> tuple[float, float]:
    """Relative and absolute tolerance of values of that type."""
    return TOLERANCES.get(dtype, (0.0, 0.0))


def assert_same(actual: Any, expected: Any, message: str = "") -> None:
    """Check type, shape and values; NaN equals NaN, infinities must agree."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, message
    assert actual.shape == expected.shape, message
    dtype = DType.of(expected.dtype)
    if not dtype.is_floating:
        np.testing.assert_array_equal(actual, expected, err_msg=message)
        return
    rtol, atol = tolerance(dtype)
    np.testing.assert_allclose(
        actual.astype(np.float64), expected.astype(np.float64), rtol, atol, err_msg=message
    )
