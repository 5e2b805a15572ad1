"""Ops that repeat, reverse and blank out elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Tile(Op):
    """`y`: x laid side by side, repeats[axis] times along each axis."""

    repeats: tuple[Size, ...]

    def infer(self, x: TensorType) -> TensorType:
        require(len(self.repeats) == x.rank, f"needs a number for each of {x.rank} axes")
        require(
            all(count >= 0 for count in self.repeats if isinstance(count, int)),
            "repeats must not be negative",
        )
        return x.with_shape(n * count for n, count in zip(x.shape, self.repeats, strict=True))

    def reference(self, x: Array) -> Array:
        return np.tile(x, tuple(map(int, self.repeats)))


@dataclass(frozen=True)
class Reverse(Op):
    """`y`: x with the order of its elements reversed along axes."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        axes = {normalize_axis(axis, x.rank) for axis in self.axes}
        require(len(axes) == len(self.axes), f"the axes {list(self.axes)} name one axis twice")
        return x

    def reference(self, x: Array) -> Array:
        return np.flip(x, self.axes)


@dataclass(frozen=True)
class Trilu(Op):
    """`y[..., i, j] = x[..., i, j]` where `j - i >= k` (`upper`) or `j - i <= k`, else 0."""

    k: int = 0
    upper: bool = True

    def infer(self, x: TensorType) -> TensorType:
        require(x.rank >= 2, "needs at least two axes")
        return x

    def reference(self, x: Array) -> Array:
        return np.triu(x, self.k) if self.upper else np.tril(x, self.k)
