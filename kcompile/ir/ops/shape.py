"""Ops that move, select and repeat elements, and ops on sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import Size, ceil_div, product
from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import (
    DType,
    TensorType,
    broadcast_shapes,
    format_shape,
    require_same_size,
)


@dataclass(frozen=True)
class Reshape(Op):
    """`y`: the elements of x in row-major order, with another shape of the same size."""

    shape: tuple[Size, ...]

    def infer(self, x: TensorType) -> TensorType:
        rule = f"a reshape to {format_shape(self.shape)} keeps the number of elements"
        require_same_size(x.size, product(self.shape), rule)
        return x.with_shape(self.shape)

    def reference(self, x: Array) -> Array:
        return x.reshape(self.shape)


@dataclass(frozen=True)
class Transpose(Op):
    """`y[i_p0, i_p1, ...] = x[i_0, i_1, ...]`: axis k of y is axis permutation[k] of x."""

    permutation: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        require(
            sorted(self.permutation) == list(range(x.rank)),
            f"{list(self.permutation)} is not a permutation of {x.rank} axes",
        )
        return x.with_shape(x.shape[axis] for axis in self.permutation)

    def reference(self, x: Array) -> Array:
        return x.transpose(self.permutation)


@dataclass(frozen=True)
class BroadcastTo(Op):
    """`y`: x repeated along new leading axes and axes of size 1, as in NumPy."""

    shape: tuple[Size, ...]

    def infer(self, x: TensorType) -> TensorType:
        result = broadcast_shapes(x.shape, self.shape)
        require(result == self.shape, f"cannot broadcast to {format_shape(self.shape)}")
        return x.with_shape(result)

    def reference(self, x: Array) -> Array:
        return np.broadcast_to(x, tuple(map(int, self.shape)))


@dataclass(frozen=True)
class Concatenate(Op):
    """`y`: the operands one after the other along axis; other sizes are equal."""

    axis: int

    def infer(self, *xs: TensorType) -> TensorType:
        require(len(xs) > 0, "needs at least one operand")
        first = xs[0]
        axis = normalize_axis(self.axis, first.rank)
        total: Size = 0
        for x in xs:
            require(x.dtype is first.dtype, "the element types must be the same")
            require(x.rank == first.rank, "the ranks must be the same")
            for other, (size, known) in enumerate(zip(x.shape, first.shape, strict=True)):
                if other != axis:
                    rule = f"sizes other than that of axis {axis} must be the same"
                    require_same_size(known, size, rule)
            total = total + x.shape[axis]
        return first.with_shape(total if i == axis else n for i, n in enumerate(first.shape))

    def reference(self, *xs: Array) -> Array:
        return np.concatenate(xs, axis=self.axis)


@dataclass(frozen=True)
class Slice(Op):
    """`y = x[starts[0]:limits[0]:strides[0], ...]`, with `0 <= start <= limit <= size`."""

    starts: tuple[Size, ...]
    limits: tuple[Size, ...]
    strides: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        lengths = {len(self.starts), len(self.limits), len(self.strides)}
        require(lengths == {x.rank}, f"needs a start, limit and stride for each of {x.rank} axes")
        shape: list[Size] = []
        for axis, size in enumerate(x.shape):
            start, limit, stride = self.starts[axis], self.limits[axis], self.strides[axis]
            require(stride >= 1, f"stride {stride} of axis {axis} must be at least 1")
            for low, high in ((0, start), (start, limit), (limit, size)):
                if isinstance(low, int) and isinstance(high, int):
                    require(low <= high, f"{start}:{limit} is outside axis {axis} of size {size}")
            shape.append(ceil_div(limit - start, stride))
        return x.with_shape(shape)

    def reference(self, x: Array) -> Array:
        triples = zip(self.starts, self.limits, self.strides, strict=True)
        return x[tuple(slice(*triple) for triple in triples)]


@dataclass(frozen=True)
class Pad(Op):
    """`y`: x with `widths[axis] = (before, after)` elements of `value` put around it."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0

    def infer(self, x: TensorType) -> TensorType:
        require(len(self.widths) == x.rank, f"needs a pair of widths for each of {x.rank} axes")
        require(all(w >= 0 for pair in self.widths for w in pair), "widths must not be negative")
        return x.with_shape(
            size + before + after
            for size, (before, after) in zip(x.shape, self.widths, strict=True)
        )

    def reference(self, x: Array) -> Array:
        return np.pad(x, self.widths, constant_values=x.dtype.type(self.value))


@dataclass(frozen=True)
class Gather(Op):
    """`y[..., i..., ...] = x[..., indices[i...], ...]`: rows of x along axis.

    Indices are integers in [0, size of axis); others are undefined.
    """

    axis: int = 0

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        require(indices.dtype.is_integer, "indices must be integers")
        axis = normalize_axis(self.axis, x.rank)
        return x.with_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    def reference(self, x: Array, indices: Array) -> Array:
        return np.take(x, indices, axis=self.axis)


@dataclass(frozen=True)
class OneHot(Op):
    """`y[..., k] = 1 where indices == k, else 0`: a new last axis of size depth."""

    depth: int
    dtype: DType = DType.FLOAT32

    def infer(self, indices: TensorType) -> TensorType:
        require(indices.dtype.is_integer, "indices must be integers")
        require(self.depth >= 0, "the depth must not be negative")
        return TensorType(self.dtype, (*indices.shape, self.depth))

    def reference(self, indices: Array) -> Array:
        return (indices[..., None] == np.arange(self.depth)).astype(self.dtype.numpy)


@dataclass(frozen=True)
class Iota(Op):
    """`y = 0, 1, ..., size - 1`."""

    size: Size
    dtype: DType = DType.INT32

    def infer(self) -> TensorType:
        require(self.dtype.is_numeric, "needs a numeric type")
        return TensorType(self.dtype, (self.size,))

    def reference(self) -> Array:
        return np.arange(int(self.size), dtype=self.dtype.numpy)


@dataclass(frozen=True)
class DimSize(Op):
    """`y`: the number that a symbolic size has at run time, as a scalar."""

    size: Size
    dtype: DType = DType.INT32

    def infer(self) -> TensorType:
        require(self.dtype.is_numeric, "needs a numeric type")
        return TensorType(self.dtype, ())

    def reference(self) -> Array:
        return np.asarray(self.size, self.dtype.numpy)
