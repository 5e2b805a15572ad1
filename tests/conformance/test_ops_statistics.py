"""`kcompile.ops` against `keras.ops`: reductions, order statistics, running totals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import ops
from kcompile.ir.errors import ShapeError, SpecError
from tests.conformance.ops_case import (
    OpsCase,
    booleans,
    case,
    check,
    expected_results,
    integers,
    normal,
    vector,
    with_slow_tail,
)
from tests.ops.tolerances import assert_same

X = normal(4, 5, 3)
GAPS = normal(4, 5)
GAPS[1, 2] = GAPS[3, 0] = np.nan
GAPS[0] = np.nan
SOME = normal(4, 5)
SOME[2, 1] = np.nan
AXES = [{}, {"axis": 1}, {"axis": (0, -1), "keepdims": True}]

NARROW = (
    integers(5, low=0, high=4, dtype="int8"),
    integers(5, low=0, high=4, dtype="uint8"),
    booleans(5),
    normal(5, dtype="float16"),
)
WHOLE = (
    "ptp", "amax", "amin", "sum", "prod", "max", "min", "mean", "var", "std", "all", "any",
)  # fmt: skip
TOTALS = (
    "sum", "prod", "max", "mean", "var", "std", "all", "cumsum", "cumprod", "average", "median",
    "nansum", "nanmean", "count_nonzero",
)  # fmt: skip


def _as_exported(entry: OpsCase) -> OpsCase:
    """onnxruntime multiplies integers in double, so that the export refuses their product."""
    exports = entry.function != "prod" or entry.args[0].dtype.kind == "f"
    return dataclasses.replace(entry, exports=exports)


REDUCTIONS = [
    *(
        _as_exported(case(function, array, **kwargs))
        for function in WHOLE
        for array in (X, integers(3, 4, 2, low=0, high=5))
        for kwargs in AXES
    ),
    *(_as_exported(case(function, array)) for function in TOTALS for array in NARROW),
    case("max", X, initial=0.5),
    case("min", X, 1, initial=0.5),
    *(case(name, np.zeros((2, 0, 3), "float32"), 1) for name in ("any", "all", "sum", "prod")),
    *(case(name, np.zeros((2, 0), "int32"), 1, initial=4) for name in ("max", "min")),
    *(case(name, vector(300, -300, 0, dtype="float16")) for name in ("var", "std")),
    *(case(name, vector(200, -200, np.nan, dtype="float16")) for name in ("nanvar", "nanstd")),
    case("sum", vector(60000, 60000, -60000, dtype="float16")),
    case("prod", vector(1000, 1000, 0.01, dtype="float16")),
    case("prod", X, dtype="float16"),
]
NAN_REDUCTIONS = [
    case(function, array, **kwargs)
    for function in
    ("nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nanmedian")
    for array in (GAPS, SOME)
    for kwargs in ({}, {"axis": 1}, {"axis": 0, "keepdims": True})
] + [
    case(function, SOME, axis=axis)
    for function in ("nanargmax", "nanargmin")
    for axis in (None, 0, 1)
] + [case(function, SOME, axis=1) for function in ("nancumsum", "nancumprod")]  # fmt: skip
METHODS = (
    (None, "linear"), (1, "lower"), ((0, 2), "higher"), (0, "midpoint"), (-1, "nearest"),
)  # fmt: skip
QUANTILES = [
    case(function, array, q, axis=axis, method=method)
    for function, scale in (("quantile", 1), ("percentile", 100))
    for array in (X,)
    for q in (0.3 * scale, vector(0.0, 0.5, 0.9, 1.0) * np.float32(scale))
    for axis, method in METHODS
] + [
    case("nanquantile", GAPS, 0.4, axis=1),
    case("nanpercentile", SOME, 40.0, axis=0, keepdims=True),
    case("quantile", SOME, 0.4, axis=1), case("median", SOME, axis=1),
    *(case("median", X, axis=a, keepdims=k) for a in (None, 1, (0, 1)) for k in (False, True)),
    case("quantile", integers(3, 4), 0.25, axis=1),
    *(case("quantile", normal(size), 0.5, method="nearest") for size in (2, 4, 6)),
]  # fmt: skip
RUNNING = [
    case(function, array, axis)
    for function in ("cumsum", "cumprod")
    for array in (X, integers(2, 3, low=-2, high=3))
    for axis in (None, 0, -1)
] + [
    case("cumsum", integers(4), 0, "float32"),
    case("cumprod", normal(1)),
    case("cumsum", normal(0)),
]
OTHERS = [
    case("average", X, 1, vector(1, 2, 3, 4, 5)), case("average", X, None, np.abs(X)),
    case("average", integers(3, 4), 0), case("count_nonzero", integers(3, 4, low=0, high=2), 1),
    case("count_nonzero", booleans(4)), case("trapezoid", X), case("trapezoid", X, dx=0.5, axis=1),
    case("trapezoid", normal(5), np.cumsum(np.abs(normal(5, seed=1)))),
    case("histogram", normal(20)), case("histogram", normal(20), 4, (-1.0, 1.0)),
    case("corrcoef", normal(3, 9)), case("corrcoef", normal(4)),
    case("corrcoef", normal(1, 4)), case("corrcoef", vector(1, 1)),
    *(case("correlate", a, b, mode) for mode in ("valid", "same", "full")
      for a, b in ((normal(7), normal(3, seed=1)), (normal(4), normal(6, seed=1)))),
    case("correlate", integers(5), integers(2)),
]  # fmt: skip
CASES = [*REDUCTIONS, *NAN_REDUCTIONS, *QUANTILES, *RUNNING, *OTHERS]


@pytest.mark.parametrize("entry", with_slow_tail(CASES))
def test_equals_keras(entry: OpsCase) -> None:
    check(entry)


@pytest.mark.parametrize(
    "entry",
    [
        case("bincount", integers(7, low=0)),
        case("bincount", integers(7, low=0), normal(7), 20),
        case("bincount", integers(2, 3, low=0, high=2), minlength=4),
        case("bincount", vector(dtype="int32")),
    ],
    ids=lambda entry: entry.name,
)
def test_counts_of_arrays_equal_keras(entry: OpsCase) -> None:
    (expected,) = expected_results(entry)
    assert_same(ops.bincount(*entry.args, **entry.kwargs), expected)


def test_counts_in_a_model_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="one_hot"):
        ops.bincount(kcompile.Input((3,), dtype="int32"), minlength=5)


def test_negative_numbers_are_not_counted() -> None:
    with pytest.raises(SpecError, match="got -1"):
        ops.bincount(np.asarray([2, -1]), minlength=5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.max(np.zeros((2, 0)), 1),
        lambda: ops.min(np.zeros((0, 2), "int32")),
        lambda: ops.quantile(normal(3), np.zeros((1, 2), "float32")),
        lambda: ops.histogram(normal(2, 3)),
    ],
)
def test_what_has_no_meaning_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ShapeError):
        call()
