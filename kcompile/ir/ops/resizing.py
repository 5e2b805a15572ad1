"""Resizing along spatial axes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST, spatial_axes
from kcompile.ir.types import TensorType

NEAREST, BILINEAR = "nearest", "bilinear"
#: Where elements of y lie in x, in ONNX's words.
HALF_PIXEL, ASYMMETRIC = "half_pixel", "asymmetric"


def _triangle(x: Array) -> Array:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: Array) -> Array:
    """The kernel of Keys, 1981, with a = -0.5."""
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(radius: int) -> Callable[[Array], Array]:
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0.0)


#: A weight by the distance of an element of x from the place of one of y.
KERNELS: dict[str, Callable[[Array], Array]] = {
    BILINEAR: _triangle,
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}


def places(size: int, new_size: int, coordinates: str = HALF_PIXEL) -> Array:
    """Where each element of y lies in x, `[new_size]`: its centre, or its beginning."""
    if coordinates == ASYMMETRIC:
        return np.arange(new_size) * (size / new_size)
    return (np.arange(new_size) + 0.5) * (size / new_size) - 0.5


def nearest_indices(size: int, new_size: int) -> Array:
    """The element of x that each of y is: `floor((i + 1/2) * size / new_size)`."""
    return (2 * np.arange(new_size, dtype=np.int64) + 1) * size // (2 * new_size)


@functools.lru_cache(maxsize=64)
def resize_weights(
    method: str, antialias: bool, size: int, new_size: int, coordinates: str = HALF_PIXEL
) -> Array:
    """The matrix `[new_size, size]` of float64 that resizes a vector."""
    stretch = max(size / new_size, 1.0) if antialias else 1.0
    distances = np.abs(places(size, new_size, coordinates)[:, None] - np.arange(size)) / stretch
    weights = KERNELS[method](distances)
    weights = weights / weights.sum(axis=1, keepdims=True)
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class Resize(Op):
    """`y[n, p, c] = sum over q of x[n, q, c] weight(p, q)`: x with other spatial sizes.

    x is `[N, S..., C]` (channels_last) or `[N, C, S...]` (channels_first), y likewise. Element p of
    y lies at `(p + 1/2) * size / new_size - 1/2` in x. nearest: the element that this is in.
    Others: the weight is a kernel of the distance, along each of two spatial axes, scaled so that
    weights sum to 1 over the elements there are. With antialias, kernels are wider by the factor
    that x shrinks by. With asymmetric coordinates, element p lies at `p * size / new_size`, as in
    TensorFlow 1 and Theano; bilinear only.
    """

    size: tuple[Size, ...]
    method: str = NEAREST
    antialias: bool = False
    data_format: str = CHANNELS_LAST
    coordinates: str = HALF_PIXEL

    def infer(self, x: TensorType) -> TensorType:
        require(x.rank >= 3, "needs x of rank 3 or more")
        require(
            self.data_format in (CHANNELS_LAST, CHANNELS_FIRST),
            f"the data format is channels_last or channels_first, not {self.data_format!r}",
        )
        axes = spatial_axes(x.rank, self.data_format)
        require(len(self.size) == len(axes), f"needs sizes for {len(axes)} spatial axes")
        require(
            self.method == NEAREST or self.method in KERNELS,
            f"the method is nearest or one of {', '.join(KERNELS)}, not {self.method!r}",
        )
        require(
            self.coordinates in (HALF_PIXEL, ASYMMETRIC),
            f"coordinates are half_pixel or asymmetric, not {self.coordinates!r}",
        )
        require(
            self.coordinates == HALF_PIXEL or (self.method == BILINEAR and not self.antialias),
            "asymmetric coordinates go with bilinear without antialias",
        )
        if self.method != NEAREST:
            require(x.dtype.is_floating, f"{self.method} needs floating-point numbers")
            require(len(axes) == 2, f"{self.method} needs two spatial axes")
        shape = list(x.shape)
        for axis, size in zip(axes, self.size, strict=True):
            require(x.shape[axis] != 0 and size != 0, "needs at least one element along each axis")
            shape[axis] = size
        return x.with_shape(shape)

    def reference(self, x: Array) -> Array:
        y = x if self.method == NEAREST else x.astype(np.promote_types(x.dtype, np.float32))
        for axis, size in zip(spatial_axes(x.ndim, self.data_format), self.size, strict=True):
            y = self._along(y, axis, int(size))
        return y.astype(x.dtype, copy=False)

    def _along(self, x: Array, axis: int, size: int) -> Array:
        if size == x.shape[axis]:
            return x
        if self.method == NEAREST:
            return np.take(x, nearest_indices(x.shape[axis], size), axis=axis)
        weights = self.weights(x.shape[axis], size)
        y = np.tensordot(x, weights, (axis, 1)).astype(x.dtype)
        return np.moveaxis(y, -1, axis)

    def weights(self, size: int, new_size: int) -> Array:
        """The matrix `[new_size, size]` of float64 that resizes along one axis."""
        return resize_weights(self.method, self.antialias, size, new_size, self.coordinates)
