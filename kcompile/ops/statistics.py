"""Averages, order statistics, running totals, histograms and correlations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcompile.ir import dims
from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType
from kcompile.ops.creation import linspace
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    add,
    cast,
    ceil,
    clip,
    divide,
    equal,
    floor,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    multiply,
    not_equal,
    sqrt,
    subtract,
    where,
)
from kcompile.ops.indexing import diagonal
from kcompile.ops.linear import matmul
from kcompile.ops.padding import pad
from kcompile.ops.promotion import (
    to_common_floats,
    to_float,
    to_tensor,
)
from kcompile.ops.rearrangement import flip, moveaxis, ravel, slice_axis
from kcompile.ops.reduction import Axis, any, axes_of, max, mean, min, sum
from kcompile.ops.shape import expand_dims, one_hot, reshape, transpose
from kcompile.ops.sorting import sort_pairs
from kcompile.ops.tensor import SymbolicTensor, TracedTensor
from kcompile.ops.trace import emit


@public
def amax(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The greatest along axes."""
    return max(x, axis, keepdims)


@public
def amin(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest along axes."""
    return min(x, axis, keepdims)


@public
def ptp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The greatest minus the smallest along axes."""
    return subtract(max(x, axis, keepdims), min(x, axis, keepdims))


@public
def count_nonzero(x: Any, axis: Axis = None) -> Any:
    """How many along axes are not 0. int32."""
    tensor = to_tensor(x)
    return sum(cast(not_equal(tensor, cast(0, tensor.dtype)), "int32"), axis)


@public
def average(x: Any, axis: Axis = None, weights: Any = None) -> Any:
    """The mean along axes, each element with its weight."""
    if weights is None:
        return mean(x, axis)
    values, factors = to_common_floats(x, weights)
    if factors.type.shape != values.type.shape:
        axes = axes_of(values, axis)
        if factors.type.rank != 1 or axis is None or len(axes) != 1:
            raise ShapeError(
                f"weights {factors.type} have the shape of x, {values.type}, or are a vector along "
                "axis"
            )
        column: list[Size] = [1] * values.type.rank
        column[axes[0]] = factors.type.shape[0]
        factors = emit(ir.BroadcastTo(values.type.shape), emit(ir.Reshape(tuple(column)), factors))
    return divide(sum(multiply(values, factors), axis), sum(factors, axis))


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantiles(x: Any, q: Any, axis: Axis, method: str, keepdims: bool, skip_nan: bool) -> Any:
    """The q-quantiles of the sorted elements along axes; q's axes come first in the result.

    With `skip_nan` NaN takes no part; otherwise it makes the result NaN.
    """
    if method not in _METHODS:
        raise ValueError(f"method is one of {', '.join(_METHODS)}, got {method!r}")
    tensor, share = to_common_floats(x, q)
    if share.type.rank > 1:
        raise ShapeError(f"q is a number or a vector, got {share.type}")
    rank = tensor.type.rank
    axes = axes_of(tensor, axis)
    rest = [i for i in range(rank) if i not in axes]
    lead = tuple(tensor.type.shape[i] for i in rest)
    size = dims.product(tensor.type.shape[i] for i in axes)
    rows = reshape(transpose(tensor, [*rest, *axes]), (*lead, size))
    missing = isnan(rows)
    filled = where(missing, math.inf, rows)
    ordered = sort_pairs(filled, len(lead))[0]
    if skip_nan:
        count = sum(cast(logical_not(missing), rows.dtype), -1, True)
    else:
        count = cast(emit(ir.DimSize(size)), rows.dtype)
    positions = emit(ir.Reshape((share.type.size,)), share)
    places = multiply(positions, subtract(count, 1.0))
    values = _interpolated(ordered, places, method, size, lead)
    gone = equal(count, 0) if skip_nan else any(missing, -1, True)
    values = where(gone, math.nan, values)
    result = moveaxis(values, -1, 0)
    outer = share.type.shape
    inner = tuple(
        1 if i in axes else tensor.type.shape[i] for i in range(rank) if keepdims or i not in axes
    )
    return emit(ir.Reshape((*outer, *inner)), result)


def _interpolated(
    ordered: TracedTensor, places: Any, method: str, size: Size, lead: tuple[Size, ...]
) -> Any:
    """The elements of each row at places between them."""

    def at(position: Any) -> Any:
        last = cast(emit(ir.DimSize(size - 1)), position.dtype)
        kept = emit(ir.Maximum(), emit(ir.Minimum(), position, last), cast(0, position.dtype))
        index = cast(kept, "int32")
        index = emit(ir.BroadcastTo((*lead, places.type.shape[-1])), index)
        return emit(ir.GatherElements(len(lead)), ordered, index)

    if method == "nearest":
        return at(ceil(subtract(places, 0.5)))  # halves down
    low, high = floor(places), ceil(places)
    if method == "lower":
        return at(low)
    if method == "higher":
        return at(high)
    if method == "midpoint":
        return multiply(add(at(low), at(high)), 0.5)
    fraction = subtract(places, low)
    lower = multiply(at(low), subtract(1.0, fraction))
    upper = multiply(at(high), fraction)  # infinity has no share where the fraction is 0
    return add(lower, where(equal(fraction, 0), 0, upper))


@public
def quantile(
    x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """The number below which the share q of the elements along axes lies."""
    return _quantiles(x, q, axis, method, keepdims, False)


@public
def nanquantile(
    x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """As `quantile`, without NaN."""
    return _quantiles(x, q, axis, method, keepdims, True)


@public
def percentile(
    x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """The number below which q percent of the elements along axes lie."""
    return _quantiles(x, divide(q, 100.0), axis, method, keepdims, False)


@public
def nanpercentile(
    x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """As `percentile`, without NaN."""
    return _quantiles(x, divide(q, 100.0), axis, method, keepdims, True)


@public
def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The middle along axes; the mean of the two middle ones of an even number."""
    return _quantiles(x, 0.5, axis, "midpoint", keepdims, False)


@public
def nanmedian(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """As `median`, without NaN."""
    return _quantiles(x, 0.5, axis, "midpoint", keepdims, True)


def _running(x: Any, axis: int | None, dtype: str | None) -> tuple[TracedTensor, int]:
    tensor = ravel(x) if axis is None else to_tensor(x)
    if dtype is not None:
        tensor = cast(tensor, dtype)
    elif tensor.type.dtype is DType.BOOL:
        tensor = cast(tensor, "int32")
    return tensor, normalize_axis(0 if axis is None else axis, tensor.type.rank)


@public
def cumsum(x: Any, axis: int | None = None, dtype: str | None = None) -> Any:
    """The sums up to each element along axis; of the flattened x without axis."""
    tensor, axis = _running(x, axis, dtype)
    return emit(ir.CumSum(axis), tensor)


@public
def cumprod(x: Any, axis: int | None = None, dtype: str | None = None) -> Any:
    """The products up to each element along axis; of the flattened x without axis."""
    tensor, axis = _running(x, axis, dtype)
    size = tensor.type.shape[axis]
    if not isinstance(size, int):
        return _products_of_triangle(tensor, axis, size)
    step = 1
    while step < size:  # twice as many factors each time
        ahead = slice_axis(tensor, axis, 0, size - step)
        widths = [(step, 0) if i == axis else (0, 0) for i in range(tensor.type.rank)]
        tensor = multiply(tensor, emit(ir.Pad(tuple(widths), 1.0), ahead))
        step *= 2
    return tensor


def _products_of_triangle(x: TracedTensor, axis: int, size: Size) -> Any:
    """For an open size: the products of the rows of a matrix with x up to its diagonal."""
    last = moveaxis(x, axis, -1)
    places = emit(ir.Iota(size))
    within = less_equal(places, expand_dims(places, 1))
    rows = where(within, expand_dims(last, -2), cast(1, x.dtype))
    return moveaxis(emit(ir.ReduceProd((rows.type.rank - 1,)), rows), -1, axis)


@public
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """The differences of neighbours along axis, n times."""
    tensor = to_tensor(a)
    axis = normalize_axis(axis, tensor.type.rank)
    for _ in range(n):
        size = tensor.type.shape[axis]
        if size == 0:
            break
        later, earlier = slice_axis(tensor, axis, 1, size), slice_axis(tensor, axis, 0, size - 1)
        is_bool = tensor.type.dtype is DType.BOOL
        tensor = not_equal(later, earlier) if is_bool else subtract(later, earlier)
    return tensor


@public
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of y along axis by the trapezoidal rule, at the points x or dx apart."""
    values = moveaxis(to_float(y), axis, -1)
    size = values.type.shape[-1]
    last = values.type.rank - 1
    means = add(slice_axis(values, last, 1, size), slice_axis(values, last, 0, size - 1))
    if x is None:
        return multiply(multiply(sum(means, -1), 0.5), dx)
    points = to_float(x)
    points = points if points.type.rank == 1 else moveaxis(points, axis, -1)
    return multiply(sum(multiply(means, diff(points)), -1), 0.5)


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often (or with what total weight) each of 0, 1, 2, ... is in an array x `[..., N]`.

    The result ends with the greatest number of x, and has at least minlength counts. The length
    depends on values, so that x is no tensor of a model: a graph's shapes do not.

    Raises:
        NotImplementedError: x is a tensor of a model, or sparse is True.
        SpecError: a number is negative.
    """
    if sparse:
        raise NotImplementedError("ops.bincount: there are no sparse tensors")
    if isinstance(x, SymbolicTensor):
        raise NotImplementedError(
            "ops.bincount: in a model the length would depend on values; where all are below n,"
            " ops.sum(ops.one_hot(x, n), -2) counts them"
        )
    numbers = np.asarray(x)
    if np.min(numbers, initial=0) < 0:
        raise SpecError(f"ops.bincount: counts numbers from 0 on, got {numbers.min()}")
    length = int(np.max(numbers, initial=int(minlength) - 1)) + 1
    hot = one_hot(numbers, length, dtype="bool")
    if weights is None:
        return sum(cast(hot, "int32"), -2)
    return sum(where(hot, expand_dims(weights, -1), 0), -2)


@public
def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    """How many elements are in each of `bins` equal intervals, and the intervals' edges.

    The intervals are those of `range`, by default from the smallest element of the vector x to the
    greatest.
    """
    values = to_float(x)
    if values.type.rank != 1:
        raise ShapeError(f"needs a vector, got {values.type}", hint="Flatten it: ops.ravel(x)")
    low, high = (
        (min(values), max(values))
        if range is None
        else (cast(float(range[0]), values.dtype), cast(float(range[1]), values.dtype))
    )
    flat = equal(low, high)
    low, high = where(flat, subtract(low, 0.5), low), where(flat, add(high, 0.5), high)
    edges = linspace(low, high, bins + 1)
    column = expand_dims(values, 1)
    lower, upper = slice_axis(edges, 0, 0, bins), slice_axis(edges, 0, 1, bins + 1)
    is_last = np.arange(bins) == bins - 1
    below = where(is_last, less_equal(column, upper), less(column, upper))
    inside = logical_and(less_equal(lower, column), below)
    return sum(cast(inside, values.dtype), 0), edges


@public
def corrcoef(x: Any) -> Any:
    """The correlation coefficients `[N, N]` between the rows of x; `[]` for one row."""
    tensor = to_float(x)
    if tensor.type.rank < 2:
        tensor = emit(ir.Reshape((1, tensor.type.size)), tensor)
    centered = subtract(tensor, mean(tensor, -1, True))
    products = matmul(centered, transpose(centered))
    deviations = sqrt(diagonal(products))
    scaled = divide(divide(products, expand_dims(deviations, 1)), deviations)
    limited = clip(scaled, -1.0, 1.0)
    return reshape(limited, ()) if tensor.type.shape[0] == 1 else limited


@public
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The sums of products of x1 with x2 put at each place ("valid", "same" or "full")."""
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"mode is 'valid', 'same' or 'full', got {mode!r}")
    a, b = to_common_floats(x1, x2)
    (long,), (short,) = a.type.static_shape, b.type.static_shape
    swaps = long < short
    if swaps:
        a, b, long, short = b, a, short, long
    before = {"valid": 0, "same": short // 2, "full": short - 1}[mode]
    after = {"valid": 0, "same": short - short // 2 - 1, "full": short - 1}[mode]
    rows = emit(ir.Reshape((1, long + before + after, 1)), pad(a, (before, after)))
    kernel = emit(ir.Reshape((short, 1, 1)), b)
    y = ravel(emit(ir.Conv((1,), ((0, 0),), (1,)), rows, kernel))
    return flip(y, 0) if swaps else y
