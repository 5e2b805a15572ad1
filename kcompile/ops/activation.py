"""Activation functions that are made of others."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    absolute,
    add,
    cast,
    clip,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_or,
    maximum,
    multiply,
    negative,
    sqrt,
    square,
    subtract,
    tanh,
    true_divide,
    where,
)
from kcompile.ops.nn import elu, sigmoid, softplus
from kcompile.ops.promotion import to_float
from kcompile.ops.reduction import sum
from kcompile.ops.shape import expand_dims
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit


@public
def celu(x: Any, alpha: float = 1.0) -> Any:
    """`x where x > 0, else alpha * (e^(x / alpha) - 1)` (Barron, 2017)."""
    tensor = to_float(x)
    return multiply(elu(true_divide(tensor, alpha)), alpha)


@public
def glu(x: Any, axis: int = -1) -> Any:
    """`a * sigmoid(b)`, a and b the two halves of x along axis (Dauphin et al., 2017).

    Raises:
        ShapeError: the size along axis is odd or symbolic.
    """
    tensor = to_float(x)
    axis = normalize_axis(axis, tensor.type.rank)
    size = tensor.type.shape[axis]
    if not isinstance(size, int) or size % 2:
        raise ShapeError(f"needs an even number of elements along axis {axis}, got {size}")
    return multiply(
        _part(tensor, axis, 0, size // 2), sigmoid(_part(tensor, axis, size // 2, size))
    )


def _part(x: TracedTensor, axis: int, start: int, limit: int) -> Any:
    starts = tuple(start if i == axis else 0 for i in range(x.type.rank))
    limits = tuple(limit if i == axis else size for i, size in enumerate(x.type.shape))
    return emit(ir.Slice(starts, limits, (1,) * x.type.rank), x)


@public
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x where |x| > threshold, else 0`."""
    tensor = to_float(x)
    return where(greater(absolute(tensor), threshold), tensor, 0.0)


@public
def hard_silu(x: Any) -> Any:
    """`x * hard_sigmoid(x)`."""
    return emit(ir.HardSwish(), to_float(x))


@public
def hard_swish(x: Any) -> Any:
    """`x * hard_sigmoid(x)`."""
    return hard_silu(x)


@public
def hard_tanh(x: Any) -> Any:
    """`min(max(x, -1), 1)`; integers stay integers."""
    return clip(x, -1, 1)


@public
def log_sigmoid(x: Any) -> Any:
    """`log(sigmoid(x))`, without overflow."""
    return negative(softplus(negative(to_float(x))))


@public
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by threshold, at most to 0."""
    tensor = to_float(x)
    below = where(less(tensor, -threshold), add(tensor, threshold), 0.0)
    return where(greater(tensor, threshold), subtract(tensor, threshold), below)


@public
def sparse_plus(x: Any) -> Any:
    """`0 where x <= -1, x where x >= 1, else (x + 1)^2 / 4`."""
    tensor = to_float(x)
    above = where(greater_equal(tensor, 1.0), tensor, multiply(square(add(tensor, 1.0)), 0.25))
    return where(less_equal(tensor, -1.0), 0.0, above)


@public
def sparse_sigmoid(x: Any) -> Any:
    """`min(max((x + 1) / 2, 0), 1)`."""
    return clip(multiply(add(to_float(x), 1.0), 0.5), 0.0, 1.0)


@public
def sparsemax(x: Any, axis: int = -1) -> Any:
    """`max(x - t, 0)`, t the threshold of the elements z of x along axis, the greatest first.

    With sums `s_k = z_1 + ... + z_k`, those elements are in the support for which
    `1 + k z_k > s_k`.
    `t = (s_1 + ... + s_K - 1) / K`, K their number, as Keras 3.15 has it; in the paper of Martins
    and Astudillo (2016) it is `(s_K - 1) / K`, with which the result would add up to 1. All pairs
    are compared, and nothing is sorted.
    """
    tensor = to_float(x)
    axis = normalize_axis(axis, tensor.type.rank)
    each, others = expand_dims(tensor, axis + 1), expand_dims(tensor, axis)
    place = _places(tensor, axis)
    is_first = less_equal(expand_dims(place, axis), expand_dims(place, axis + 1))
    is_before = logical_or(greater(others, each), logical_and(equal(others, each), is_first))
    count = sum(cast(is_before, tensor.dtype), axis + 1)
    total = sum(where(is_before, others, 0.0), axis + 1)
    support = greater(add(multiply(count, tensor), 1.0), total)
    size = sum(cast(support, tensor.dtype), axis, True)
    sums = sum(where(support, total, 0.0), axis, True)
    threshold = true_divide(subtract(sums, 1.0), size)
    return maximum(subtract(tensor, threshold), 0.0)


def _places(x: TracedTensor, axis: int) -> Any:
    """`0, 1, ...` along axis, of size 1 along the others."""
    size = x.type.shape[axis]
    shape = tuple(size if i == axis else 1 for i in range(x.type.rank))
    return emit(ir.Reshape(shape), emit(ir.Iota(size)))


@public
def squareplus(x: Any, b: float = 4) -> Any:
    """`(x + sqrt(x^2 + b)) / 2` (Barron, 2021)."""
    tensor = to_float(x)
    return multiply(add(tensor, sqrt(add(square(tensor), float(b)))), 0.5)


@public
def tanh_shrink(x: Any) -> Any:
    """`x - tanh(x)`."""
    tensor = to_float(x)
    return subtract(tensor, tanh(tensor))


@public
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """`x where x > threshold, else default_value`."""
    tensor = to_float(x)
    return where(greater(tensor, threshold), tensor, default_value)
