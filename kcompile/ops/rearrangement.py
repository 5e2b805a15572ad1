"""Functions that move, repeat, join and split elements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir import dims
from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.op import normalize_axis
from kcompile.ops.dispatch import public
from kcompile.ops.limits import check_numbers, count_steps
from kcompile.ops.promotion import to_common_type, to_tensor
from kcompile.ops.shape import concatenate, expand_dims, reshape, transpose
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

Axes = int | Sequence[int]


def axis_list(axis: Axes) -> list[int]:
    """One axis or several, as a list."""
    return [int(axis)] if isinstance(axis, (int, np.integer)) else [int(entry) for entry in axis]


def slice_axis(x: TracedTensor, axis: int, start: Size, limit: Size, stride: int = 1) -> Any:
    """`x[..., start:limit:stride, ...]` along one axis."""
    shape = x.type.shape
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    limits = tuple(limit if i == axis else size for i, size in enumerate(shape))
    strides = tuple(stride if i == axis else 1 for i in range(len(shape)))
    return emit(ir.Slice(starts, limits, strides), x)


@public
def flip(x: Any, axis: Axes | None = None) -> Any:
    """x backwards along axes; along all by default."""
    tensor = to_tensor(x)
    rank = tensor.type.rank
    axes = range(rank) if axis is None else [normalize_axis(i, rank) for i in axis_list(axis)]
    return emit(ir.Reverse(tuple(axes)), tensor)


@public
def fliplr(x: Any) -> Any:
    """x backwards along its second axis."""
    return flip(x, 1)


@public
def flipud(x: Any) -> Any:
    """x backwards along its first axis."""
    return flip(x, 0)


@public
def moveaxis(x: Any, source: Axes, destination: Axes) -> Any:
    """x with axes moved; the others keep their order."""
    tensor = to_tensor(x)
    rank = tensor.type.rank
    sources = [normalize_axis(axis, rank) for axis in axis_list(source)]
    targets = [normalize_axis(axis, rank) for axis in axis_list(destination)]
    if len(set(sources)) != len(sources) or len(set(targets)) != len(sources):
        raise ShapeError(f"cannot move the axes {sources} to {targets}")
    order = [axis for axis in range(rank) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return transpose(tensor, order)


@public
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """x with two axes exchanged."""
    tensor = to_tensor(x)
    order = list(range(tensor.type.rank))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(tensor, order)


@public
def ravel(x: Any) -> Any:
    """The elements of x in one axis."""
    return reshape(x, (-1,))


@public
def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """x turned k times by a quarter, from the first of the axes towards the second."""
    tensor = to_tensor(array)
    first, second = (normalize_axis(axis, tensor.type.rank) for axis in axes)
    if first == second:
        raise ShapeError(f"the axes {axes} must be different")
    turns = k % 4
    if turns == 0:
        return tensor
    if turns == 2:
        return flip(tensor, (first, second))
    if turns == 1:
        return swapaxes(flip(tensor, second), first, second)
    return flip(swapaxes(tensor, first, second), second)


@public
def roll(x: Any, shift: Axes, axis: Axes | None = None) -> Any:
    """x moved along axes; what leaves at one end comes in at the other."""
    tensor = to_tensor(x)
    if axis is None:
        return reshape(roll(ravel(tensor), shift, 0), tensor.type.shape)
    axes, shifts = axis_list(axis), axis_list(shift)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    axes = axes * len(shifts) if len(axes) == 1 else axes
    for entry, places in zip(axes, shifts, strict=True):
        tensor = _roll_axis(tensor, normalize_axis(entry, tensor.type.rank), places)
    return tensor


def _roll_axis(x: TracedTensor, axis: int, places: int) -> Any:
    size = x.type.shape[axis]
    if isinstance(size, int):
        cut = size - places % size if size else 0
        return concatenate([slice_axis(x, axis, cut, size), slice_axis(x, axis, 0, cut)], axis)
    # A gather for open sizes: onnxruntime 1.32, optimizing, joins slices like these wrong.
    ahead = emit(ir.Subtract(), emit(ir.Iota(size)), to_tensor(places))
    return emit(ir.Gather(axis), x, emit(ir.Remainder(), ahead, emit(ir.DimSize(size))))


@public
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element along axis, of the flattened x by default, that many times in a row."""
    tensor = ravel(x) if axis is None else to_tensor(x)
    axis = normalize_axis(0 if axis is None else axis, tensor.type.rank)
    shape = tensor.type.shape
    if isinstance(repeats, (list, tuple)) and len(repeats) == 1:
        repeats = repeats[0]
    if isinstance(repeats, (int, np.integer)):
        count = int(repeats)
        wide = expand_dims(tensor, axis + 1)
        target = (*shape[: axis + 1], count, *shape[axis + 1 :])
        result = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
        return emit(ir.Reshape(result), emit(ir.BroadcastTo(target), wide))
    if not isinstance(repeats, (list, tuple)):
        raise NotImplementedError(
            "ops.repeat: with a tensor of repeats the shape depends on values; give a number or a "
            "list of numbers"
        )
    size = shape[axis]
    if size != len(repeats):
        raise ShapeError(f"{len(repeats)} repeats for an axis of size {size}")
    check_numbers(sum(repeats))
    places = np.repeat(np.arange(len(repeats), dtype=np.int32), repeats)
    return emit(ir.Gather(axis), tensor, places)


@public
def tile(x: Any, repeats: Axes) -> Any:
    """x laid side by side, repeats[axis] times along each axis."""
    tensor = to_tensor(x)
    counts = [repeats] if isinstance(repeats, (int, np.integer)) else list(repeats)
    rank = max(tensor.type.rank, len(counts))
    shape = (1,) * (rank - tensor.type.rank) + tensor.type.shape
    padded = tensor if shape == tensor.type.shape else emit(ir.Reshape(shape), tensor)
    numbers = tuple(
        int(count) if isinstance(count, np.integer) else count
        for count in (*(1,) * (rank - len(counts)), *counts)
    )
    return emit(ir.Tile(numbers), padded)


def _at_least(x: TracedTensor, rank: int) -> Any:
    """x with axes of size 1 put as `hstack` and its kin do: before it, and for 3 behind it too."""
    shape = x.type.shape
    while len(shape) < min(rank, 2):
        shape = (1, *shape)
    while len(shape) < rank:
        shape = (*shape, 1)
    return x if shape == x.type.shape else emit(ir.Reshape(shape), x)


@public
def hstack(xs: Sequence[Any]) -> Any:
    """The tensors side by side: along the second axis, or the first of vectors."""
    tensors = [_at_least(x, 1) for x in to_common_type(*xs)]
    return concatenate(tensors, 0 if tensors[0].type.rank == 1 else 1)


@public
def vstack(xs: Sequence[Any]) -> Any:
    """The tensors on top of each other; vectors are rows."""
    return concatenate([_at_least(x, 2) for x in to_common_type(*xs)], 0)


@public
def dstack(xs: Sequence[Any]) -> Any:
    """The tensors behind each other, along the third axis."""
    return concatenate([_at_least(x, 3) for x in to_common_type(*xs)], 2)


@public
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """x1, then x2, along axis; both flattened by default."""
    if axis is None:
        return concatenate([ravel(x1), ravel(x2)], 0)
    return concatenate([x1, x2], axis)


def _parts(x: TracedTensor, axis: int, bounds: Sequence[Size]) -> list[Any]:
    """What lies between neighbouring bounds; nothing where the second is ahead of the first."""
    edges: list[Size] = [0, *bounds, x.type.shape[axis]]
    parts = []
    for low, high in itertools.pairwise(edges):
        if isinstance(low, int) and isinstance(high, int):
            high = max(low, high)
        parts.append(slice_axis(x, axis, low, high))
    return parts


def _bounded(bound: int, size: Size) -> Size:
    """A place to split at, counted from the front, within the axis."""
    if isinstance(size, int):
        return min(max(bound + size, 0) if bound < 0 else bound, size)
    return dims.maximum(size + bound, 0) if bound < 0 else dims.minimum(bound, size)


def _places(places: Any, size: Size) -> list[Size]:
    """Places to split at within an axis of that size.

    Raises:
        ShapeError: a place is ahead of the one before it.
    """
    numbers = [int(place) for place in places]
    bounds = [_bounded(number, size) for number in numbers]
    known = [bound for bound in bounds if isinstance(bound, int)] or numbers
    for before, after in itertools.pairwise(known):
        if after < before and (before < 0) == (after < 0):
            raise ShapeError(f"the places to split at must not go back, got {numbers}")
    return bounds


@public
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """x in that many equal parts along axis, or split at those places."""
    tensor = to_tensor(x)
    axis = normalize_axis(axis, tensor.type.rank)
    size = tensor.type.shape[axis]
    if not isinstance(indices_or_sections, (int, np.integer)):
        return _parts(tensor, axis, _places(indices_or_sections, size))
    count = int(indices_or_sections)
    count_steps(count)
    length = dims.divide_exactly(size, count)
    if length is None or (isinstance(size, int) and size % count):
        raise ShapeError(f"an axis of size {size} does not divide into {count} equal parts")
    return _parts(tensor, axis, [length * i for i in range(1, count)])


@public
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """x in that many parts along axis, the first ones longer by one if they can't be equal."""
    tensor = to_tensor(x)
    axis = normalize_axis(axis, tensor.type.rank)
    size = tensor.type.shape[axis]
    if not isinstance(indices_or_sections, (int, np.integer)):
        raise SpecError(
            f"ops.array_split: takes a number of parts, got {indices_or_sections!r}",
            hint="ops.split takes places",
        )
    count = int(indices_or_sections)
    count_steps(count)
    # The first k parts hold ceil of their share: the sum over i < k of ceil((size - i) / count).
    edges: list[Size] = []
    total: Size = 0
    for index in range(count - 1):
        total = total + dims.floor_div(size + (count - 1 - index), count)
        edges.append(total)
    return _parts(tensor, axis, edges)


@public
def hsplit(x: Any, indices_or_sections: Any) -> Any:
    """x split along its second axis, or the first of a vector."""
    tensor = to_tensor(x)
    return split(tensor, indices_or_sections, 0 if tensor.type.rank == 1 else 1)


@public
def vsplit(x: Any, indices_or_sections: Any) -> Any:
    """x split along its first axis."""
    return split(x, indices_or_sections, 0)


@public
def dsplit(x: Any, indices_or_sections: Any) -> Any:
    """x split along its third axis."""
    return split(x, indices_or_sections, 2)


@public
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """The slices of x along axis, without that axis."""
    tensor = to_tensor(x)
    axis = normalize_axis(axis, tensor.type.rank)
    size = tensor.type.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(f"cannot unstack an axis of the open size {size}")
    if num is not None and num != size:
        raise ShapeError(f"num is {num}, and axis {axis} has size {size}")
    count_steps(size)
    shape = tuple(n for i, n in enumerate(tensor.type.shape) if i != axis)
    return [emit(ir.Reshape(shape), slice_axis(tensor, axis, i, i + 1)) for i in range(size)]


@public
def tril(x: Any, k: int = 0) -> Any:
    """x with zeros above its k-th diagonal."""
    return emit(ir.Trilu(int(k), False), to_tensor(x))


@public
def triu(x: Any, k: int = 0) -> Any:
    """x with zeros below its k-th diagonal."""
    return emit(ir.Trilu(int(k), True), to_tensor(x))


@public
def kron(x1: Any, x2: Any) -> Any:
    """The Kronecker product: x2 times each element of x1, laid side by side."""
    a, b = to_common_type(x1, x2)
    rank = max(a.type.rank, b.type.rank)
    left = (1,) * (rank - a.type.rank) + a.type.shape
    right = (1,) * (rank - b.type.rank) + b.type.shape
    a = emit(ir.Reshape(tuple(size for n in left for size in (n, 1))), a)
    b = emit(ir.Reshape(tuple(size for n in right for size in (1, n))), b)
    sizes = tuple(n * m for n, m in zip(left, right, strict=True))
    return emit(ir.Reshape(sizes), emit(ir.Multiply(), a, b))
