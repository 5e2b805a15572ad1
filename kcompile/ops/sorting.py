"""Order: sorting, the greatest elements, and places in sorted sequences."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    cast,
    equal,
    greater,
    less,
    less_equal,
    logical_not,
    logical_or,
    not_equal,
    where,
)
from kcompile.ops.promotion import to_common_type, to_tensor
from kcompile.ops.rearrangement import ravel
from kcompile.ops.reduction import any as any_of
from kcompile.ops.reduction import sum as sum_of
from kcompile.ops.shape import expand_dims, reshape
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit


def sort_pairs(x: TracedTensor, axis: int) -> tuple[TracedTensor, TracedTensor]:
    """x in ascending order along axis, and where each element was; bools as int32."""
    axis = normalize_axis(axis, x.type.rank)
    numbers = cast(x, "int32") if x.type.dtype is DType.BOOL else x
    values, indices = emit(ir.TopK(x.type.shape[axis], axis, False), numbers)
    return (cast(values, "bool") if x.type.dtype is DType.BOOL else values), indices


@public
def sort(x: Any, axis: int | None = -1) -> Any:
    """x in ascending order along axis, NaN last; of the flattened x without axis."""
    tensor = ravel(x) if axis is None else to_tensor(x)
    return sort_pairs(tensor, 0 if axis is None else axis)[0]


@public
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The indices that sort x along axis; equal elements keep their order. int32."""
    tensor = to_tensor(x)
    if axis is None or tensor.type.rank == 0:
        tensor, axis = ravel(tensor), 0
    return sort_pairs(tensor, axis)[1]


@public
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """Indices that put the smallest `kth` elements, and the next one, before the greater ones.

    The order within the two sides is the sorted one.
    """
    tensor = ravel(x) if axis is None else to_tensor(x)
    axis = normalize_axis(0 if axis is None else axis, tensor.type.rank)
    size = tensor.type.shape[axis]
    if isinstance(size, int):
        normalize_axis(kth, size, "kth")
    return sort_pairs(tensor, axis)[1]


@public
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The k greatest along the last axis in descending order, and their indices (int32)."""
    return emit(ir.TopK(int(k), -1, True), to_tensor(x))


@public
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where each value would go into the sorted vector: before ("left") its equals or behind."""
    if side not in ("left", "right"):
        raise ValueError(f"side is 'left' or 'right', got {side!r}")
    sequence, wanted = to_common_type(sorted_sequence, values)
    if sequence.type.rank != 1:
        raise ShapeError(f"the sorted sequence is a vector, got {sequence.type}")
    column = expand_dims(wanted, wanted.type.rank)
    before = less(sequence, column) if side == "left" else less_equal(sequence, column)
    if sequence.type.dtype.is_floating:  # NaN is greater than every number
        is_nan = not_equal(column, column)
        at_end = not_equal(sequence, sequence) if side == "right" else False
        ahead = logical_or(equal(sequence, sequence), at_end)
        before = where(is_nan, ahead, before)
    return sum_of(cast(before, "int32"), -1)


@public
def digitize(x: Any, bins: Any) -> Any:
    """The number of each element's bin; `bins[i - 1] <= x < bins[i]`, descending bins reversed."""
    edges = to_tensor(bins)
    numbers, edges = to_common_type(x, edges)
    if edges.type.rank != 1:
        raise ShapeError(f"the bins are a vector, got {edges.type}")
    rising = searchsorted(edges, numbers, "right")
    column = expand_dims(numbers, numbers.type.rank)
    falling = sum_of(cast(greater(edges, column), "int32"), -1)
    size = edges.type.static_shape[0]
    if size < 2:
        return rising
    first, last = reshape(edges[0], ()), reshape(edges[size - 1], ())
    return where(greater(first, last), falling, rising)


@public
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element of x1 is one of x2."""
    a, b = to_common_type(x1, x2)
    column = expand_dims(a, a.type.rank)
    found = any_of(equal(column, ravel(b)), -1)
    return logical_not(found) if invert else found
