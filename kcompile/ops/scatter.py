"""Writing at indices: scatter, windows at a place, and sums of segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import add, cast, greater_equal, less, logical_or, where
from kcompile.ops.indexing import wrapped
from kcompile.ops.promotion import to_tensor
from kcompile.ops.rearrangement import slice_axis
from kcompile.ops.shape import concatenate, expand_dims
from kcompile.ops.tensor import SymbolicTensor, TracedTensor
from kcompile.ops.trace import emit, require_trace

_REDUCTIONS = {None: "none", "add": "add", "max": "max", "min": "min", "mul": "multiply"}


@public
def scatter(indices: Any, values: Any, shape: Sequence[Size]) -> Any:
    """Zeros of that shape with values added at indices `[..., number of axes]`."""
    updates = to_tensor(values)
    zeros = emit(ir.BroadcastTo(tuple(shape)), cast(0, updates.dtype))
    return _scatter_nd("add", zeros, to_tensor(indices), updates)


@public
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """Inputs with updates at indices `[n, number of axes]`: set, or added, multiplied, max, min."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction is None, 'add', 'max', 'min' or 'mul', got {reduction!r}")
    tensor = to_tensor(inputs)
    return _scatter_nd(_REDUCTIONS[reduction], tensor, to_tensor(indices), to_tensor(updates))


def _scatter_nd(
    reduction: str, x: TracedTensor, indices: TracedTensor, updates: TracedTensor
) -> Any:
    """Negative indices count from the end; updates broadcast to what the indices name."""
    depth = indices.type.static_shape[-1] if indices.type.is_static else indices.type.shape[-1]
    if not isinstance(depth, int):
        raise ShapeError(f"the last axis of indices is a number, got {indices.type}")
    last = indices.type.rank - 1
    columns = [wrapped(slice_axis(indices, last, i, i + 1), x.type.shape[i]) for i in range(depth)]
    places = concatenate(columns, last)
    shape = (*indices.type.shape[:-1], *x.type.shape[depth:])
    updates = cast(updates, x.dtype)
    if updates.type.shape != shape:
        updates = emit(ir.BroadcastTo(shape), updates)
    if x.type.dtype is DType.BOOL and reduction != "none":
        raise ShapeError(f"the reduction {reduction!r} needs numbers")
    return emit(ir.ScatterNd(reduction), x, places, updates)


def _starts(x: TracedTensor, start_indices: Any, shape: Sequence[Size]) -> list[Any]:
    """Where a window of `shape` begins: numbers or scalars, moved so that it lies within x."""
    if isinstance(start_indices, SymbolicTensor) or hasattr(start_indices, "dtype"):
        vector = to_tensor(start_indices)
        entries: list[Any] = [
            emit(ir.Reshape(()), slice_axis(vector, 0, i, i + 1)) for i in range(x.type.rank)
        ]
    else:
        entries = list(start_indices)
    if len(entries) != x.type.rank:
        raise ShapeError(f"needs a start for each axis of {x.type}, got {len(entries)}")
    starts = []
    for entry, size, length in zip(entries, x.type.shape, shape, strict=True):
        room = size - length
        if isinstance(entry, (int, np.integer)) and isinstance(size, int):
            place = int(entry) + size if entry < 0 else int(entry)
            starts.append(min(max(place, 0), room) if isinstance(room, int) else place)
            continue
        index = wrapped(to_tensor(entry), size)
        limit = emit(ir.DimSize(room, index.type.dtype))
        starts.append(emit(ir.Minimum(), emit(ir.Maximum(), index, cast(0, index.dtype)), limit))
    return starts


@public
def slice(inputs: Any, start_indices: Any, shape: Sequence[Size]) -> Any:
    """The window of that shape that begins at start_indices; -1 is what is left of an axis."""
    x = to_tensor(inputs)
    lengths = []
    for axis, length in enumerate(shape):
        if length == -1:
            length = x.type.shape[axis] - start_indices[axis]
        if isinstance(length, SymbolicTensor):
            raise ShapeError("a length of -1 needs a number as the start")
        lengths.append(length)
    for axis, start in enumerate(_starts(x, start_indices, lengths)):
        length = lengths[axis]
        if isinstance(start, int):
            x = slice_axis(x, axis, start, start + length)
        else:
            x = emit(ir.Gather(axis), x, add(emit(ir.Iota(length)), cast(start, "int32")))
    return x


@public
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """Inputs with updates in the window that begins at start_indices."""
    x = to_tensor(inputs)
    new = cast(to_tensor(updates), x.dtype)
    shape = new.type.shape
    rank = x.type.rank
    if rank == 0:
        return new
    columns = []
    for axis, start in enumerate(_starts(x, start_indices, shape)):
        places = add(emit(ir.Iota(shape[axis])), cast(start, "int32"))
        column = emit(
            ir.Reshape(tuple(shape[axis] if i == axis else 1 for i in range(rank))), places
        )
        columns.append(expand_dims(emit(ir.BroadcastTo(shape), column), rank))
    return emit(ir.ScatterNd(), x, concatenate(columns, rank), new)


_EMPTY: dict[str, Any] = {"add": 0, "multiply": 1}


def _segments(reduction: str, data: Any, segment_ids: Any, num_segments: int | None) -> Any:
    """Rows of data joined by their ids; ids that are no segment go into a row that is cut off."""
    if num_segments is None:
        raise ValueError("num_segments must be given: a graph's shapes do not depend on values")
    tensor, ids = to_tensor(data), to_tensor(segment_ids)
    if ids.type.rank != 1:
        raise ShapeError(f"segment_ids is a vector, got {ids.type}")
    ids = cast(ids, "int32")
    outside = logical_or(less(ids, 0), greater_equal(ids, num_segments))
    places = expand_dims(where(outside, num_segments, ids), 1)
    if reduction in _EMPTY:
        start = _EMPTY[reduction]
    else:
        dtype = tensor.type.dtype
        low, high = (-np.inf, np.inf)
        if dtype.is_integer:
            low, high = np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max
        start = low if reduction == "max" else high
    shape = (num_segments + 1, *tensor.type.shape[1:])
    initial = require_trace().convert(np.asarray(start), tensor.type.dtype)
    rows = emit(ir.BroadcastTo(shape), initial)
    joined = emit(ir.ScatterNd(reduction), rows, places, tensor)
    return slice_axis(joined, 0, 0, num_segments)


@public
def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The sums of the rows of each segment; 0 of none."""
    return _segments("add", data, segment_ids, num_segments)


@public
def segment_prod(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The products of the rows of each segment; 1 of none."""
    return _segments("multiply", data, segment_ids, num_segments)


@public
def segment_max(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The greatest of the rows of each segment; the type's least number of none."""
    return _segments("max", data, segment_ids, num_segments)


@public
def segment_min(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The smallest of the rows of each segment; the type's greatest number of none."""
    return _segments("min", data, segment_ids, num_segments)
