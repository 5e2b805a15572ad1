"""Reductions that pass over NaN."""

from __future__ import annotations

import math
from typing import Any

from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    cast,
    divide,
    isnan,
    logical_not,
    sqrt,
    square,
    subtract,
    where,
)
from kcompile.ops.promotion import to_float, to_tensor, to_wide_float
from kcompile.ops.reduction import Axis, all, argmax, argmin, max, min, prod, sum
from kcompile.ops.statistics import cumprod, cumsum
from kcompile.ops.tensor import TracedTensor


def _with(x: Any, value: float) -> TracedTensor:
    """x with `value` for NaN."""
    tensor = to_tensor(x)
    return where(isnan(tensor), value, tensor) if tensor.type.dtype.is_floating else tensor


@public
def nansum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum along axes without NaN."""
    return sum(_with(x, 0.0), axis, keepdims)


@public
def nanprod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The product along axes without NaN."""
    return prod(_with(x, 1.0), axis, keepdims)


def _extreme(reduction: Any, x: Any, value: float, axis: Axis, keepdims: bool) -> Any:
    tensor = to_tensor(x)
    if not tensor.type.dtype.is_floating:
        return reduction(tensor, axis, keepdims)
    nothing = all(isnan(tensor), axis, keepdims)
    return where(nothing, math.nan, reduction(_with(tensor, value), axis, keepdims))


@public
def nanmax(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The greatest along axes without NaN; NaN if there is nothing else."""
    return _extreme(max, x, -math.inf, axis, keepdims)


@public
def nanmin(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest along axes without NaN; NaN if there is nothing else."""
    return _extreme(min, x, math.inf, axis, keepdims)


def _extreme_place(reduction: Any, x: Any, value: float, axis: int | None, keepdims: bool) -> Any:
    tensor = to_tensor(x)
    if not tensor.type.dtype.is_floating:
        return reduction(tensor, axis, keepdims)
    nothing = all(isnan(tensor), axis, keepdims)
    return where(nothing, -1, reduction(_with(tensor, value), axis, keepdims))


@public
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The first index of the greatest along axis without NaN; -1 if there is nothing else."""
    return _extreme_place(argmax, x, -math.inf, axis, keepdims)


@public
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The first index of the smallest along axis without NaN; -1 if there is nothing else."""
    return _extreme_place(argmin, x, math.inf, axis, keepdims)


def _counts(x: TracedTensor, axis: Axis, keepdims: bool) -> Any:
    return sum(cast(logical_not(isnan(x)), x.dtype), axis, keepdims)


@public
def nanmean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean along axes without NaN."""
    tensor = to_float(x)
    return divide(nansum(tensor, axis, keepdims), _counts(tensor, axis, keepdims))


@public
def nanvar(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The variance along axes without NaN; of 16 bits computed in 32."""
    tensor = to_wide_float(x)
    deviation = subtract(tensor, nanmean(tensor, axis, True))
    total = nansum(square(deviation), axis, keepdims)
    return cast(divide(total, _counts(tensor, axis, keepdims)), to_float(x).dtype)


@public
def nanstd(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The standard deviation along axes without NaN."""
    return sqrt(nanvar(x, axis, keepdims))


@public
def nancumsum(x: Any, axis: int | None = None, dtype: str | None = None) -> Any:
    """The sums up to each element along axis, without NaN."""
    return cumsum(_with(x, 0.0), axis, dtype)


@public
def nancumprod(x: Any, axis: int | None = None, dtype: str | None = None) -> Any:
    """The products up to each element along axis, without NaN."""
    return cumprod(_with(x, 1.0), axis, dtype)
