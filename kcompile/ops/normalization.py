"""Norms, statistics, and normalizations by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    absolute,
    cast,
    clip,
    maximum,
    minimum,
    multiply,
    not_equal,
    power,
    rsqrt,
    sqrt,
    square,
    true_divide,
)
from kcompile.ops.promotion import to_float, to_wide_float
from kcompile.ops.reduction import Axis, axes_of, max, mean, min, sum, var
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace

EPSILON = 1e-7
_FLOAT16_MAX = 65504.0


@public
def moments(
    x: Any, axes: Axis, keepdims: bool = False, synchronized: bool = False
) -> tuple[Any, Any]:
    """The mean of x along axes and its variance, with divisor n; of 16 bits computed in 32."""
    if synchronized:
        raise NotImplementedError("ops.moments: synchronized=True is not there yet")
    tensor = to_float(x)
    statistics = mean(to_wide_float(x), axes, keepdims), var(to_wide_float(x), axes, keepdims)
    if tensor.type.dtype not in (DType.FLOAT16, DType.BFLOAT16):
        return statistics
    first, second = (clip(value, -_FLOAT16_MAX, _FLOAT16_MAX) for value in statistics)
    return cast(first, tensor.dtype), cast(second, tensor.dtype)


def _normalization(
    kind: type[ir.LayerNorm] | type[ir.RmsNorm],
    x: Any,
    axis: int | Sequence[int],
    epsilon: float | None,
    *weights: Any,
) -> Any:
    """`kind` over axes of x, in 32 bits at least; weights broadcast to the sizes of these axes."""
    tensor, wide = to_float(x), to_wide_float(x)
    listed = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(sorted(normalize_axis(entry, tensor.type.rank) for entry in listed))
    sizes = tuple(tensor.type.shape[entry] for entry in axes)
    converted = [
        None if weight is None else require_trace().convert(weight, wide.type.dtype)
        for weight in weights
    ]
    fitting = [
        weight if weight is None or weight.type.shape == sizes else _fit(weight, sizes)
        for weight in converted
    ]
    op = kind(axes, float(EPSILON if epsilon is None else epsilon))
    return cast(emit(op, wide, *fitting), tensor.dtype)


def _fit(weight: TracedTensor, sizes: tuple[Any, ...]) -> Any:
    """A weight with the sizes of the axes and others of size 1, without those."""
    if weight.type.rank > len(sizes):
        kept = tuple(size for size in weight.type.shape if size != 1)
        if kept == tuple(size for size in sizes if size != 1):
            return emit(ir.Reshape(sizes), weight)
    return emit(ir.BroadcastTo(sizes), weight)


@public
def layer_normalization(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
    rms_scaling: bool = False,
) -> Any:
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, with statistics along axis.

    With `rms_scaling`, which Keras has deprecated, `x / sqrt(variance + epsilon) * gamma`.
    """
    if rms_scaling:
        return _scaled_by_variance(x, gamma, axis, EPSILON if epsilon is None else epsilon)
    return _normalization(ir.LayerNorm, x, axis, epsilon, gamma, beta)


def _scaled_by_variance(x: Any, gamma: Any, axis: int | Sequence[int], epsilon: float) -> Any:
    tensor, wide = to_float(x), to_wide_float(x)
    axes = axes_of(wide, axis if isinstance(axis, int) else tuple(axis))
    y = multiply(wide, rsqrt(var(wide, axes, True) + epsilon))
    if gamma is not None:
        shape = tuple(size if i in axes else 1 for i, size in enumerate(tensor.type.shape))
        y = multiply(y, emit(ir.Reshape(shape), require_trace().convert(gamma, wide.type.dtype)))
    return cast(y, tensor.dtype)


@public
def rms_normalization(
    x: Any, scale: Any = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Any:
    """`x / sqrt(mean(x^2) + epsilon) * scale`, with the mean along axis.

    As in Keras, scale broadcasts to x, also where axis is not the last.
    """
    tensor = to_float(x)
    rank = tensor.type.rank
    listed = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = sorted(normalize_axis(entry, rank) for entry in listed)
    if scale is None or axes == list(range(rank - len(axes), rank)):
        return _normalization(ir.RmsNorm, tensor, axis, epsilon, scale)
    y = _normalization(ir.RmsNorm, to_wide_float(tensor), axis, epsilon)
    return cast(multiply(y, require_trace().convert(scale, y.type.dtype)), tensor.dtype)


def group_normalization(
    x: Any, groups: int, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`, statistics of groups of channels.

    The channels are along axis; statistics are over a group of them and all axes but the first.
    """
    tensor, wide = to_float(x), to_wide_float(x)
    gamma, beta = (
        None if value is None else require_trace().convert(value, wide.type.dtype)
        for value in (scale, offset)
    )
    return cast(emit(ir.GroupNorm(groups, axis, float(epsilon)), wide, gamma, beta), tensor.dtype)


@public
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """The norm of vectors along one axis, or of matrices along two.

    Without axis it is that of all of x: of the elements if `ord` is None, otherwise of a vector or
    a matrix.

    Raises:
        ShapeError: there is no such norm.
    """
    tensor = to_float(x)
    axes = axes_of(tensor, axis)
    if axis is None and ord is None:
        return sqrt(sum(square(tensor), axes, keepdims))
    if len(axes) == 1:
        return _vector_norm(tensor, ord, axes, keepdims)
    if len(axes) != 2:
        raise ShapeError(f"a norm is along one axis or two, got {len(axes)}")
    if isinstance(axis, (tuple, list)):  # in the order in which they were given
        axes = tuple(normalize_axis(entry, tensor.type.rank) for entry in axis)
    return _matrix_norm(tensor, ord, axes, keepdims)


def _vector_norm(x: TracedTensor, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(order, str):
        raise ShapeError(f"a vector has no norm {order!r}")
    if order is None or order == 2:
        return sqrt(sum(square(x), axes, keepdims))
    if order == float("inf"):
        return max(absolute(x), axes, keepdims)
    if order == float("-inf"):
        return min(absolute(x), axes, keepdims)
    if order == 0:
        return sum(cast(not_equal(x, 0), x.dtype), axes, keepdims)
    if order == 1:
        return sum(absolute(x), axes, keepdims)
    return power(sum(power(absolute(x), order), axes, keepdims), 1.0 / order)


def _matrix_norm(x: TracedTensor, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if order is None or order == "fro":
        return sqrt(sum(square(x), axes, keepdims))
    if order in ("nuc", 2, -2):
        raise NotImplementedError(f"ops.norm: ord={order!r} of matrices needs singular values")
    if order not in (1, -1, float("inf"), float("-inf")):
        raise ShapeError(f"a matrix has no norm {order!r}")
    rows, columns = axes
    summed, extreme = (rows, columns) if abs(order) == 1 else (columns, rows)
    sums = sum(absolute(x), summed, True)
    result = (max if order > 0 else min)(sums, extreme, True)
    if keepdims:
        return result
    shape = tuple(size for i, size in enumerate(x.type.shape) if i not in axes)
    return emit(ir.Reshape(shape), result)


@public
def normalize(x: Any, axis: Axis = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """`x / norm(x)` along axis, the norm at least epsilon (1e-7 by default).

    Raises:
        SpecError: the order is not an integer of 1 or more.
    """
    if not isinstance(order, int) or order < 1:
        raise SpecError(f"ops.normalize: order must be an int of 1 or more, got {order!r}")
    tensor = to_float(x)
    least = EPSILON if epsilon is None else epsilon
    if order == 2:
        inverse = rsqrt(sum(square(tensor), axis, True))
        return multiply(tensor, minimum(inverse, 1.0 / least))
    return true_divide(tensor, maximum(norm(tensor, order, axis, True), least))
