"""Importers of nodes that move elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcompile.ir import ops
from kcompile.ir.types import DType
from tests.onnx_nodes.collecting import Array, NodeTest
from tests.onnx_nodes.importing import imports, require, run


@imports("Constant")
def _constant(test: NodeTest, value: Any) -> Array:
    from onnx import numpy_helper

    from kcompile.ir.literal import Literal

    return run(ops.Constant(Literal(numpy_helper.to_array(value))))


@imports("Identity")
def _identity(test: NodeTest, x: Any) -> Array:
    require(isinstance(x, np.ndarray) and x.dtype.kind != "O", "sequences")
    return run(ops.StopGradient(), x)


@imports("Concat")
def _concat(test: NodeTest, *xs: Array, axis: int) -> Array:
    return run(ops.Concatenate(axis), *xs)


@imports("Transpose")
def _transpose(test: NodeTest, x: Array, perm: list[int] | None = None) -> Array:
    return run(ops.Transpose(tuple(reversed(range(x.ndim)) if perm is None else perm)), x)


@imports("Expand")
def _expand(test: NodeTest, x: Array, shape: Array) -> Array:
    return run(ops.BroadcastTo(np.broadcast_shapes(x.shape, tuple(shape.tolist()))), x)


@imports("Tile")
def _tile(test: NodeTest, x: Array, repeats: Array) -> Array:
    return run(ops.Tile(tuple(repeats.tolist())), x)


@imports("Reshape")
def _reshape(test: NodeTest, x: Array, shape: Array, allowzero: int = 0) -> Array:
    sizes = [n or (0 if allowzero else x.shape[i]) for i, n in enumerate(shape.tolist())]
    known = math.prod(n for n in sizes if n != -1)
    return run(ops.Reshape(tuple(x.size // known if n == -1 else n for n in sizes)), x)


@imports("Squeeze")
def _squeeze(test: NodeTest, x: Array, axes: Array | None = None) -> Array:
    gone = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    return run(ops.Reshape(tuple(n for i, n in enumerate(x.shape) if i not in gone)), x)


@imports("Unsqueeze")
def _unsqueeze(test: NodeTest, x: Array, axes: Array) -> Array:
    rank = x.ndim + axes.size
    new, old = {axis % rank for axis in axes.tolist()}, iter(x.shape)
    return run(ops.Reshape(tuple(1 if i in new else next(old) for i in range(rank))), x)


@imports("Shape")
def _shape(test: NodeTest, x: Array, start: int = 0, end: int | None = None) -> Array:
    sizes = [run(ops.Reshape((1,)), run(ops.DimSize(n, DType.INT64))) for n in x.shape[start:end]]
    return run(ops.Concatenate(0), *sizes) if sizes else np.zeros(0, np.int64)


@imports("Range")
def _range(test: NodeTest, start: Array, limit: Array, delta: Array) -> Array:
    count = max(math.ceil((float(limit) - float(start)) / float(delta)), 0)
    steps = run(ops.Iota(count, DType.of(start.dtype)))
    return run(ops.Add(), start, run(ops.Multiply(), steps, delta))


@imports("Slice")
def _slice(
    test: NodeTest,
    x: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    """A negative step is a reversal before ours, which go forward."""
    chosen = list(range(starts.size)) if axes is None else [a % x.ndim for a in axes.tolist()]
    strides = [1] * starts.size if steps is None else steps.tolist()
    triples = {i: (0, n, 1) for i, n in enumerate(x.shape)}
    reversed_axes = []
    for axis, begin, end, step in zip(chosen, starts.tolist(), ends.tolist(), strides, strict=True):
        n = x.shape[axis]
        begin, end, step = slice(begin, end, step).indices(n)
        if step < 0:
            reversed_axes.append(axis)
            begin, end, step = n - 1 - begin, n - 1 - end, -step
        triples[axis] = (begin, max(begin, end), step)
    y = run(ops.Reverse(tuple(reversed_axes)), x) if reversed_axes else x
    begins, limits, by = zip(*(triples[i] for i in range(x.ndim)), strict=True)
    return run(ops.Slice(begins, limits, by), y)


@imports("Pad")
def _pad(
    test: NodeTest,
    x: Array,
    pads: Array,
    value: Array | None = None,
    axes: Array | None = None,
    mode: bytes = b"constant",
) -> Array:
    require(mode == b"constant", "padding with elements of x")
    require(np.all(pads >= 0), "padding that takes away")
    chosen = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(chosen):
        widths[axis] = (int(pads[i]), int(pads[i + len(pads) // 2]))
    return run(ops.Pad(tuple(widths), 0.0 if value is None else float(value.item())), x)


@imports("Gather")
def _gather(test: NodeTest, x: Array, indices: Array, axis: int = 0) -> Array:
    require(np.all(indices >= 0), "indices from the end")
    return run(ops.Gather(axis), x, indices)


@imports("GatherElements")
def _gather_elements(test: NodeTest, x: Array, indices: Array, axis: int = 0) -> Array:
    """Ours has the shape of x but for the axis; a part of x is as good."""
    require(np.all(indices >= 0), "indices from the end")
    part = tuple(n if i == axis else indices.shape[i] for i, n in enumerate(x.shape))
    zeros, ones = (0,) * x.ndim, (1,) * x.ndim
    return run(ops.GatherElements(axis), run(ops.Slice(zeros, part, ones), x), indices)


@imports("ScatterND")
def _scatter(
    test: NodeTest, x: Array, indices: Array, updates: Array, reduction: bytes = b"none"
) -> Array:
    require(np.all(indices >= 0), "indices from the end")
    name = {b"mul": "multiply"}.get(reduction, reduction.decode())
    return run(ops.ScatterNd(name), x, indices, updates)


@imports("Trilu")
def _trilu(test: NodeTest, x: Array, k: Array | None = None, upper: int = 1) -> Array:
    return run(ops.Trilu(0 if k is None else int(k.item()), bool(upper)), x)


@imports("Resize")
def _resize(
    test: NodeTest,
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    mode: bytes = b"nearest",
    nearest_mode: bytes = b"round_prefer_floor",
    coordinate_transformation_mode: bytes = b"half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    antialias: int = 0,
    **others: Any,
) -> Array:
    require(not others, "axes, crops and kept ratios")
    given = sizes if sizes is not None else np.floor(np.float64(x.shape) * scales)
    shape = tuple(int(n) for n in given)
    exact = [n * s for n, s in zip(x.shape, shape if scales is None else scales, strict=True)]
    if scales is not None:
        require(np.allclose(exact, shape), "a scale that is not the quotient of the sizes")
    require(shape[:2] == x.shape[:2], "channels that are resized")
    coordinates = coordinate_transformation_mode.decode()
    require(coordinates in ("half_pixel", "asymmetric"), "other coordinates")
    pairs = list(zip(x.shape[2:], shape[2:], strict=True))
    if mode == b"nearest":
        ties = any((2 * i + 1) * old % (2 * new) == 0 for old, new in pairs for i in range(new))
        rounds = nearest_mode == b"round_prefer_ceil"
        require(coordinates == "half_pixel", "nearest elements from the beginning of elements")
        require(rounds or (nearest_mode == b"round_prefer_floor" and not ties), "other rounding")
        return run(ops.Resize(shape[2:], "nearest", data_format="channels_first"), x)
    method = "bilinear" if mode == b"linear" else "bicubic"
    if method == "bicubic":
        require(cubic_coeff_a == -0.5 and exclude_outside, "other weights at the border")
    require(not antialias, "elements beyond the border, which ONNX repeats and Keras leaves out")
    op = ops.Resize(shape[2:], method, False, "channels_first", coordinates)
    return run(op, x)
