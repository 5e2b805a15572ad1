"""Reading and writing elements at indices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir import dims
from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import broadcast_shapes
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    add,
    cast,
    clip,
    less,
    mod,
    multiply,
    where,
)
from kcompile.ops.limits import check_numbers
from kcompile.ops.promotion import to_common_type, to_tensor
from kcompile.ops.rearrangement import moveaxis, ravel
from kcompile.ops.reduction import max as max_of
from kcompile.ops.reduction import sum as sum_of
from kcompile.ops.shape import concatenate, one_hot
from kcompile.ops.tensor import SymbolicTensor, TracedTensor
from kcompile.ops.trace import emit


def wrapped(index: TracedTensor, size: Size) -> TracedTensor:
    """The index with negative ones counted from the end of an axis."""
    if not index.type.dtype.is_integer:
        raise ShapeError(f"an index is an integer, got {index.type}")
    if index.type.dtype.value.startswith("u"):
        return index
    length = emit(ir.DimSize(size, index.type.dtype))
    return where(less(index, 0), add(index, length), index)


@public
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """An element of x along axis for each index; the other axes broadcast."""
    tensor, index = to_tensor(x), to_tensor(indices)
    if axis is None:
        tensor, axis = ravel(tensor), 0
    if tensor.type.rank != index.type.rank:
        raise ShapeError(f"x {tensor.type} and indices {index.type} must have the same rank")
    axis = normalize_axis(axis, tensor.type.rank)
    others = [tuple(n for i, n in enumerate(t.type.shape) if i != axis) for t in (tensor, index)]
    common = broadcast_shapes(*others)
    for which, value in enumerate((tensor, index)):
        shape = (*common[:axis], value.type.shape[axis], *common[axis:])
        wide = value if shape == value.type.shape else emit(ir.BroadcastTo(shape), value)
        tensor, index = (wide, index) if which == 0 else (tensor, wide)
    return emit(ir.GatherElements(axis), tensor, wrapped(index, tensor.type.shape[axis]))


@public
def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: str | None = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Any:
    """1 at every index that the rows of inputs name, 0 elsewhere."""
    num_classes = kwargs.pop("num_tokens", num_classes)
    if kwargs or num_classes is None:
        raise ValueError(f"multi_hot needs num_classes and takes no {', '.join(kwargs) or 'less'}")
    if sparse:
        raise NotImplementedError("ops.multi_hot: there are no sparse tensors")
    tensor = to_tensor(inputs)
    encoded = one_hot(cast(tensor, "int32"), num_classes, axis, dtype)
    return max_of(encoded, 1 if tensor.type.rank > 1 else 0)


@public
def unravel_index(indices: Any, shape: Sequence[int]) -> Any:
    """The coordinates in a tensor of that shape of places in it flattened."""
    index = to_tensor(indices)
    total = math.prod(shape)
    rest = where(less(index, 0), add(index, total), index)
    rest = clip(rest, 0, max(total - 1, 0))
    places = []
    for size in reversed(shape):
        places.append(mod(rest, size))
        rest = emit(ir.FloorDivide(), rest, cast(size, rest.dtype))
    return tuple(reversed(places))


@public
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements of x on a diagonal of two axes, along a new last axis."""
    tensor = moveaxis(x, (axis1, axis2), (-2, -1))
    *lead, rows, columns = tensor.type.shape
    if isinstance(rows, int) and isinstance(columns, int):
        length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
        first = offset if offset >= 0 else -offset * columns
        check_numbers(length)
        place = to_tensor((first + np.arange(length) * (columns + 1)).astype(np.int32))
    elif rows == columns and not offset:
        place = multiply(emit(ir.Iota(rows)), emit(ir.DimSize(columns + 1)))
    else:
        raise ShapeError(f"the diagonal of open sizes needs a square, got {tensor.type}")
    flat = emit(ir.Reshape((*lead, rows * columns)), tensor)
    return emit(ir.Gather(len(lead)), flat, place)


@public
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return sum_of(diagonal(x, offset, axis1, axis2), -1)


@public
def diag(x: Any, k: int = 0) -> Any:
    """The k-th diagonal of a matrix, or the matrix that has a vector as its k-th diagonal."""
    tensor = to_tensor(x)
    if tensor.type.rank == 2:
        return diagonal(tensor, k)
    if tensor.type.rank != 1:
        raise ShapeError(f"diag takes a vector or a matrix, got {tensor.type}")
    (size,) = tensor.type.static_shape
    total = size + abs(k)
    row, column = max(-k, 0), max(k, 0)
    check_numbers(total, total)
    places = np.full((total, total), size, np.int32)
    places[np.arange(size) + row, np.arange(size) + column] = np.arange(size)
    extended = concatenate([tensor, cast(np.zeros(1, np.float32), tensor.dtype)], 0)
    return emit(ir.Gather(0), extended, places)


@public
def diagflat(x: Any, k: int = 0) -> Any:
    """The matrix that has the elements of x as its k-th diagonal."""
    return diag(ravel(x), k)


@public
def get_item(x: Any, key: Any) -> Any:
    """`x[key]` for integers, slices, `...`, None and tensors of integers, as in NumPy."""
    tensor = to_tensor(x)
    keys = _without_ellipsis(list(key) if isinstance(key, tuple) else [key], tensor.type.rank)
    if any(_is_index(entry) for entry in keys):
        return _gather(tensor, keys)
    return _slice(tensor, keys)


def _is_index(key: Any) -> bool:
    return (
        isinstance(key, (SymbolicTensor, np.ndarray, list))
        or hasattr(key, "__jax_array__")
        or (hasattr(key, "shape") and hasattr(key, "dtype") and not isinstance(key, np.integer))
    )


def _without_ellipsis(keys: list[Any], rank: int) -> list[Any]:
    used = len([key for key in keys if key is not None and key is not Ellipsis])
    if used > rank or len([key for key in keys if key is Ellipsis]) > 1:
        raise ShapeError(f"too many indices for rank {rank}")
    fill = [slice(None)] * (rank - used)
    at = next((i for i, key in enumerate(keys) if key is Ellipsis), len(keys))
    return [*keys[:at], *fill, *keys[at + 1 :]]


def _gather(tensor: TracedTensor, keys: list[Any]) -> Any:
    """Slices first; then the index tensors, with numbers among them, name places together."""
    numbers = [isinstance(key, (int, np.integer)) for key in keys]
    indexing = [_is_index(key) or number for key, number in zip(keys, numbers, strict=True)]
    kept = [slice(None) if index else key for key, index in zip(keys, indexing, strict=True)]
    sliced = _slice(tensor, kept)
    axes = [axis for axis, index in enumerate(indexing) if index]
    indices = [wrapped(_index(keys[axis]), sliced.type.shape[axis]) for axis in axes]
    indices = to_common_type(*indices)
    shape = broadcast_shapes(*(index.type.shape for index in indices))
    moved = moveaxis(sliced, axes, list(range(len(axes))))
    sizes = moved.type.shape[: len(axes)]
    place = indices[0]
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        place = add(multiply(place, emit(ir.DimSize(size, place.type.dtype))), index)
    if place.type.shape != shape:
        place = emit(ir.BroadcastTo(shape), place)
    flat = moved
    if len(axes) > 1:
        flat = emit(ir.Reshape((dims.product(sizes), *moved.type.shape[len(axes) :])), moved)
    result = emit(ir.Gather(0), flat, place)
    first, last = axes[0], axes[-1]
    if last - first + 1 != len(axes) or first == 0:
        return result
    return moveaxis(result, list(range(len(shape))), list(range(first, first + len(shape))))


def _index(key: Any) -> TracedTensor:
    index = to_tensor(key)
    if not index.type.dtype.is_integer:
        raise NotImplementedError(
            f"indexing with {index.type}: how many elements a mask selects depends on values; use "
            "ops.where"
        )
    return index


def _slice(tensor: TracedTensor, keys: list[Any]) -> Any:
    starts: list[Size] = []
    limits: list[Size] = []
    strides: list[int] = []
    backward: list[int] = []
    shape: list[Size | None] = []  # None: the length of the next slice
    for key in keys:
        if key is None:
            shape.append(1)
            continue
        size = tensor.type.shape[len(starts)]
        if isinstance(key, (int, np.integer)):
            start = _position(int(key), size)
            triple: tuple[Size, Size, int] = (start, start + 1, 1)
        elif isinstance(key, slice):
            if (key.step or 1) < 0:
                backward.append(len(starts))
            triple = _span(key, size)
            shape.append(None)
        else:
            raise ShapeError(f"cannot index with {key!r}")
        starts.append(triple[0])
        limits.append(triple[1])
        strides.append(triple[2])
    sliced = emit(ir.Slice(tuple(starts), tuple(limits), tuple(strides)), tensor)
    if backward:
        sliced = emit(ir.Reverse(tuple(backward)), sliced)
    kept = [key for key in keys if key is not None]
    lengths = iter(
        size for size, key in zip(sliced.type.shape, kept, strict=True) if isinstance(key, slice)
    )
    target = tuple(next(lengths) if size is None else size for size in shape)
    return sliced if target == sliced.type.shape else emit(ir.Reshape(target), sliced)


def _span(key: slice, size: Size) -> tuple[Size, Size, int]:
    """Start, limit and positive stride of the elements of a slice, in ascending order."""
    step = key.step or 1
    if step > 0:
        start = 0 if key.start is None else _bounded(key.start, size)
        limit = size if key.stop is None else _bounded(key.stop, size)
        return start, limit if _may_follow(start, limit) else start, step
    if isinstance(size, int):
        places = range(*key.indices(size))
        if not places:
            return 0, 0, 1
        return places[-1], places[0] + 1, -step
    if (key.start, key.stop, step) != (None, None, -1):
        raise NotImplementedError(
            f"indexing an open size with {key!r}: of slices that go backwards only ::-1 is there"
        )
    return 0, size, 1


def _may_follow(start: Size, limit: Size) -> bool:
    return not (isinstance(start, int) and isinstance(limit, int) and limit < start)


def _position(index: int, size: Size) -> Size:
    if isinstance(size, int) and not -size <= index < size:
        raise ShapeError(f"index {index} is outside an axis of size {size}")
    return size + index if index < 0 else index


def _bounded(bound: Size, size: Size) -> Size:
    """A slice's bound counted from the front, within the axis."""
    if not isinstance(bound, int):
        return bound
    if isinstance(size, int):
        return min(max(bound + size, 0) if bound < 0 else bound, size)
    return dims.maximum(size + bound, 0) if bound < 0 else dims.minimum(bound, size)
