"""Primitives of JAX that move and select elements, and windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST
from kcompile.ir.types import DType, TensorType
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace
from kcompile.runtimes.jax.jaxpr_sizes import size_of
from kcompile.runtimes.jax.jaxpr_table import Equation, imports

_OUT_OF_BOUNDS = jax.lax.GatherScatterMode


def _type(x: Any) -> TensorType:
    return x.type if isinstance(x, TracedTensor) else TensorType.of(x)


def _ints(values: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _scalar(value: Any, dtype: DType) -> TracedTensor:
    return require_trace().convert(value, dtype)


def _pairs(padding: Iterable[Any]) -> tuple[tuple[int, int], ...]:
    return tuple((int(before), int(after)) for before, after in padding)


@imports("reshape", "squeeze", "expand_dims")
def _reshape(equation: Equation, x: Any) -> Any:
    equation.require(equation.params.get("dimensions") is None or equation.primitive != "reshape")
    return emit(ir.Reshape(equation.type.shape), x)


@imports("broadcast_in_dim")
def _broadcast_in_dim(equation: Equation, x: Any, *sizes: Any) -> Any:
    equation.require(not sizes)
    axes = _ints(equation.params["broadcast_dimensions"])
    spread: list[Size] = [1] * equation.type.rank
    for axis, size in zip(axes, _type(x).shape, strict=True):
        spread[axis] = size
    return emit(ir.BroadcastTo(equation.type.shape), emit(ir.Reshape(tuple(spread)), x))


@imports("transpose")
def _transpose(equation: Equation, x: Any) -> Any:
    return emit(ir.Transpose(_ints(equation.params["permutation"])), x)


@imports("concatenate")
def _concatenate(equation: Equation, *xs: Any) -> Any:
    return emit(ir.Concatenate(int(equation.params["dimension"])), *xs)


@imports("rev")
def _reverse(equation: Equation, x: Any) -> Any:
    return emit(ir.Reverse(_ints(equation.params["dimensions"])), x)


@imports("tile")
def _tile(equation: Equation, x: Any) -> Any:
    repeats = _ints(equation.params["reps"])
    equation.require(len(repeats) == equation.type.rank)
    return emit(ir.Tile(repeats), x)


@imports("iota")
def _iota(equation: Equation, *sizes: Any) -> Any:
    equation.require(not sizes)
    shape, axis = equation.type.shape, int(equation.params["dimension"])
    spread = tuple(size if i == axis else 1 for i, size in enumerate(shape))
    steps = emit(ir.Iota(shape[axis], equation.type.dtype))
    return emit(ir.BroadcastTo(shape), emit(ir.Reshape(spread), steps))


@imports("slice")
def _slice(equation: Equation, x: Any) -> Any:
    starts, limits = (
        tuple(map(size_of, equation.params[key])) for key in ("start_indices", "limit_indices")
    )
    strides = _ints(equation.params["strides"] or (1,) * len(starts))
    return emit(ir.Slice(starts, limits, strides), x)


@imports("split")
def _split(equation: Equation, x: Any) -> Any:
    axis, parts = int(equation.params["axis"]), []
    start: Size = 0
    for size in map(size_of, equation.params["sizes"]):
        parts.append(_span(x, {axis: (start, size)}))
        start = start + size
    return parts


def _span(x: Any, spans: Mapping[int, tuple[Size, Size]]) -> Any:
    """x with only `start, size` of the axes in `spans`."""
    shape = _type(x).shape
    starts = tuple(spans[axis][0] if axis in spans else 0 for axis in range(len(shape)))
    limits = tuple(
        spans[axis][0] + spans[axis][1] if axis in spans else size
        for axis, size in enumerate(shape)
    )
    return emit(ir.Slice(starts, limits, (1,) * len(shape)), x)


@imports("pad")
def _pad(equation: Equation, x: Any, value: Any) -> Any:
    """Negative widths cut off."""
    config = [_ints(widths) for widths in equation.params["padding_config"]]
    equation.require(not isinstance(value, TracedTensor))
    equation.require(all(interior == 0 for _, _, interior in config))
    added = tuple((max(before, 0), max(after, 0)) for before, after, _ in config)
    padded = emit(ir.Pad(added, float(value)), x)
    cut = {}
    for axis, (before, after, _) in enumerate(config):
        if min(before, after) < 0:
            first = -min(before, 0)
            cut[axis] = (first, _type(padded).shape[axis] - first + min(after, 0))
    return _span(padded, cut) if cut else padded


@imports("dynamic_slice")
def _dynamic_slice(equation: Equation, x: Any, *starts: Any) -> Any:
    """The start of each axis is moved so that the slice lies inside."""
    sizes = tuple(map(size_of, equation.params["slice_sizes"]))
    for axis, (start, length) in enumerate(zip(starts, sizes, strict=True)):
        size = _type(x).shape[axis]
        if length == size:
            continue
        if isinstance(start, np.ndarray) and isinstance(size, int) and isinstance(length, int):
            x = _span(x, {axis: (min(max(int(start), 0), size - length), length)})
            continue
        dtype = _type(start).dtype
        last = emit(ir.DimSize(size - length, dtype))
        inside = emit(ir.Minimum(), emit(ir.Maximum(), start, _scalar(0, dtype)), last)
        x = emit(ir.Gather(axis), x, emit(ir.Add(), inside, emit(ir.Iota(length, dtype))))
    return x


@imports("gather")
def _gather(equation: Equation, x: Any, indices: Any) -> Any:
    numbers = equation.params["dimension_numbers"]
    if numbers.operand_batching_dims:
        return _gather_elements(equation, x, indices)
    if isinstance(indices, np.ndarray) and indices.ndim == 1:
        return _gather_slice(equation, x, indices)
    equation.require(len(numbers.start_index_map) == 1)
    return _gather_rows(equation, x, indices)


def _gather_slice(equation: Equation, x: Any, indices: Any) -> Any:
    """One slice, from known places on."""
    spans = {}
    sizes = tuple(map(size_of, equation.params["slice_sizes"]))
    for axis, index in zip(
        equation.params["dimension_numbers"].start_index_map, indices, strict=True
    ):
        size, length = _type(x).shape[axis], sizes[axis]
        equation.require(isinstance(size, int) and isinstance(length, int))
        equation.require(0 <= index <= size - length)
        spans[axis] = (int(index), length)
    return emit(ir.Reshape(equation.type.shape), _span(x, spans))


def _gather_rows(equation: Equation, x: Any, indices: Any) -> Any:
    """Whole rows along one axis, for indices of any shape."""
    numbers = equation.params["dimension_numbers"]
    (axis,) = numbers.start_index_map
    shape = _type(x).shape
    sizes = tuple(map(size_of, equation.params["slice_sizes"]))
    equation.require(sizes == tuple(1 if i == axis else n for i, n in enumerate(shape)))
    places = emit(ir.Reshape(_type(indices).shape[:-1]), indices)
    rank = places.type.rank
    rows, inside = _bounded(equation, places, indices, shape[axis])
    taken = emit(ir.Gather(axis), x, rows)
    # Axes of `taken`: those of x before the axis, those of the indices, the rest of x.
    kept = [i if i < axis else i + rank - 1 for i in range(len(shape)) if i != axis]
    offsets = list(numbers.offset_dims)
    if axis not in numbers.collapsed_slice_dims:  # an axis of size 1 stays; the reshape adds it
        del offsets[axis]
        shift = equation.type.rank - 1
        equation.require(numbers.offset_dims[axis] == shift or rank == 0 or len(offsets) == axis)
    order = [-1] * taken.type.rank
    if len(offsets) == len(kept) and max(offsets, default=0) < len(order):
        for place, source in zip(offsets, kept, strict=True):
            order[place] = source
    free = iter(range(axis, axis + rank))
    order = [next(free, -1) if source < 0 else source for source in order]
    equation.require(sorted(order) == list(range(len(order))))
    result = emit(ir.Reshape(equation.type.shape), emit(ir.Transpose(tuple(order)), taken))
    if inside is None:
        return result
    spread = [1] * len(order)
    for place, source in enumerate(order):
        if axis <= source < axis + rank:
            spread[place] = inside.type.shape[source - axis]
    return _filled(equation, result, emit(ir.Reshape(tuple(spread)), inside))


def _gather_elements(equation: Equation, x: Any, indices: Any) -> Any:
    """An element along one axis for each place on the others."""
    numbers = equation.params["dimension_numbers"]
    rank = _type(x).rank
    equation.require(len(numbers.start_index_map) == 1 and not numbers.offset_dims)
    (axis,) = numbers.start_index_map
    others = tuple(i for i in range(rank) if i != axis)
    equation.require(numbers.operand_batching_dims == others)
    equation.require(numbers.start_indices_batching_dims == others)
    equation.require(_type(indices).rank == rank + 1)
    places = emit(ir.Reshape(_type(indices).shape[:-1]), indices)
    rows, inside = _bounded(equation, places, indices, _type(x).shape[axis])
    result = emit(ir.GatherElements(axis), x, rows)
    return result if inside is None else _filled(equation, result, inside)


def _bounded(equation: Equation, places: Any, indices: Any, size: Size) -> tuple[Any, Any]:
    """Indices that are inside, and which were; None if all are, or it does not matter."""
    dtype = places.type.dtype
    known = isinstance(indices, np.ndarray) and isinstance(size, int)
    if known and np.all((indices >= 0) & (indices < size)):
        return places, None
    mode = equation.params["mode"]
    low, high = _scalar(0, dtype), emit(ir.DimSize(size - 1, dtype))
    inside = None
    if mode in (None, _OUT_OF_BOUNDS.FILL_OR_DROP):
        above, below = (
            emit(op, places, bound)
            for op, bound in ((ir.GreaterEqual(), low), (ir.LessEqual(), high))
        )
        inside = emit(ir.LogicalAnd(), above, below)
    return emit(ir.Minimum(), emit(ir.Maximum(), places, low), high), inside


def _filled(equation: Equation, result: Any, inside: Any) -> Any:
    """`result` where the index was inside; JAX's filling elsewhere."""
    dtype, fill = equation.type.dtype, equation.params["fill_value"]
    if fill is None:
        equation.require(dtype.is_floating)
        fill = np.nan
    return emit(ir.Where(), inside, result, _scalar(fill, dtype))


@imports("conv_general_dilated")
def _conv(equation: Equation, x: Any, w: Any) -> Any:
    params = equation.params
    numbers = params["dimension_numbers"]
    rank = _type(x).rank
    equation.require(set(params["lhs_dilation"]) <= {1} and params["batch_group_count"] == 1)
    equation.require(all(min(pair) >= 0 for pair in params["padding"]))
    equation.require(_type(x).dtype is equation.type.dtype)
    settings = (
        _ints(params["window_strides"]),
        _pairs(params["padding"]),
        _ints(params["rhs_dilation"]),
        int(params["feature_group_count"]),
    )
    output_input = emit(ir.Transpose(_ints(numbers.rhs_spec)), w)
    last = (0, rank - 1, *range(1, rank - 1))
    if tuple(numbers.lhs_spec) == tuple(numbers.out_spec) == last:
        kernel = emit(ir.Transpose((*range(2, rank), 1, 0)), output_input)
        return emit(ir.Conv(*settings), x, kernel)
    first = emit(ir.Transpose(_ints(numbers.lhs_spec)), x)
    op = ir.Conv(*settings, CHANNELS_FIRST, OUTPUT_INPUT_SPATIAL)
    y = emit(op, first, output_input)
    return emit(ir.Transpose(_ints(np.argsort(numbers.out_spec))), y)


@imports("reduce_window_max")
def _max_pool(equation: Equation, x: Any) -> Any:
    params = equation.params
    window, strides = _ints(params["window_dimensions"]), _ints(params["window_strides"])
    padding = _pairs(params["padding"])
    once = {*params["base_dilation"], *params["window_dilation"]}
    equation.require(once <= {1} and len(window) > 2 and equation.type.dtype.is_floating)
    whole = [
        (window[axis], strides[axis], padding[axis]) == (1, 1, (0, 0))
        for axis in range(len(window))
    ]
    equation.require(whole[0] and (whole[-1] or whole[1]))
    kept, data_format = (
        (slice(1, -1), CHANNELS_LAST) if whole[-1] else (slice(2, None), CHANNELS_FIRST)
    )
    equation.require(
        all(0 <= max(pair) < size for pair, size in zip(padding[kept], window[kept], strict=True))
    )
    return emit(ir.MaxPool(window[kept], strides[kept], padding[kept], data_format), x)
