"""Ops that read and write elements at given indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import TensorType, format_shape, require_same_size

_REDUCTIONS: dict[str, Any] = {
    "add": np.add,
    "multiply": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


@dataclass(frozen=True)
class GatherElements(Op):
    """`y[i, j, ...] = x[i, indices[i, j, ...], ...]`: an element of x along axis for each index.

    Indices are integers in [0, size of axis); others are undefined.
    """

    axis: int

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        require(indices.dtype.is_integer, "indices must be integers")
        require(x.rank == indices.rank, "x and indices must have the same rank")
        axis = normalize_axis(self.axis, x.rank)
        for other, (size, count) in enumerate(zip(x.shape, indices.shape, strict=True)):
            if other != axis:
                rule = f"sizes of x and indices other than that of axis {axis} must be the same"
                require_same_size(size, count, rule)
        return x.with_shape(indices.shape)

    def reference(self, x: Array, indices: Array) -> Array:
        return np.take_along_axis(x, indices.astype(np.int64), self.axis)


@dataclass(frozen=True)
class ScatterNd(Op):
    """`y`: x, with `y[indices[i, :]] = f(y[indices[i, :]], updates[i])` for all i.

    The last axis of indices, of d numbers, names a place in the first d axes of x. f is the
    `reduction`: "none" (the update itself, and undefined where a place is named twice), "add",
    "multiply", "max" or "min". Indices are in [0, size); others are undefined.
    """

    reduction: str = "none"

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        known = ("none", *_REDUCTIONS)
        require(self.reduction in known, f"the reduction must be one of {', '.join(known)}")
        require(self.reduction == "none" or x.dtype.is_numeric, "a reduction needs numbers")
        require(indices.dtype.is_integer, "indices must be integers")
        require(x.dtype is updates.dtype, "the element types of x and updates must be the same")
        depth = indices.shape[-1] if indices.rank else 0
        require(
            isinstance(depth, int) and 1 <= depth <= x.rank,
            f"the last axis of indices must have 1 to {x.rank} numbers, got {depth}",
        )
        expected = (*indices.shape[:-1], *x.shape[int(depth) :])
        rule = f"updates must have the shape {format_shape(expected)}"
        require(updates.rank == len(expected), rule)
        for size, wanted in zip(updates.shape, expected, strict=True):
            require_same_size(wanted, size, rule)
        return x

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        y = x.copy()
        place = tuple(np.moveaxis(indices, -1, 0))
        if self.reduction == "none":
            y[place] = updates
        else:
            _REDUCTIONS[self.reduction].at(y, place, updates)
        return y
