"""`kcompile.ops` against `keras.ops`: reductions, order statistics, running totals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.conformance.ops_case import (
    OpsCase,
    booleans,
    case,
    check,
    integers,
    normal,
    vector,
    with_slow_tail,
)

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
    case("bincount", vector(0, 2, 2, 4, dtype="int32"), minlength=5),
    case("bincount", vector(0, 2, 2, 4, dtype="int32"), normal(4), 6),
    case("histogram", normal(20)), case("histogram", normal(20), 4, (-1.0, 1.0)),
    case("corrcoef", normal(3, 9)), case("corrcoef", normal(4)),
    *(case("correlate", a, b, mode) for mode in ("valid", "same", "full")
      for a, b in ((normal(7), normal(3, seed=1)), (normal(4), normal(6, seed=1)))),
    case("correlate", integers(5), integers(2)),
]  # fmt: skip
CASES = [*REDUCTIONS, *NAN_REDUCTIONS, *QUANTILES, *RUNNING, *OTHERS]


@pytest.mark.parametrize("entry", with_slow_tail(CASES))
def test_equals_keras(entry: OpsCase) -> None:
    check(entry)
