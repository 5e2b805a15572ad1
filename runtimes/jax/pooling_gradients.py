"""Max pooling for training on the CPU.

XLA's own gradient looks for the greatest element of each window anew, one window at a time. Here
the forward pass notes which element it is, and the backward pass compares those numbers.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kcompile.ir.ops import MaxPool
from kcompile.ir.ops.reduction import least_number
from kcompile.ir.ops.windows import channel_axis, explicit_padding, spatial_axes
from kcompile.runtimes.jax.convolution_forms import Sizes, interleaved
from kcompile.runtimes.jax.pooling import max_pool
from kcompile.runtimes.jax.table import lowers_for_training


@dataclass(frozen=True)
class _Windows:
    """Window o of an axis covers the elements `o * stride + k - before`, for k below its size."""

    sizes: Sizes
    counts: Sizes
    window: Sizes
    strides: Sizes
    before: Sizes

    @property
    def places(self) -> list[Sizes]:
        """Those of a window's elements in it, in row-major order."""
        return list(itertools.product(*map(range, self.window)))

    @property
    def is_tiling(self) -> bool:
        """Whether each element is in one window at most."""
        return self.window == self.strides


@lowers_for_training("cpu", MaxPool)
def max_pool_for_training(op: MaxPool, x: jax.Array) -> jax.Array:
    """The gradient goes to the first element that reaches the maximum, or is the first NaN."""
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.size == 0:
        return max_pool(op, x)
    order = (0, *spatial_axes(x.ndim, op.data_format), channel_axis(x.ndim, op.data_format))
    x = x.transpose(order)
    sizes = x.shape[1:-1]
    pads = explicit_padding(op.padding, sizes, op.window, op.strides, (1,) * len(sizes))
    counts = tuple(
        (size + sum(pad) - window) // stride + 1
        for size, pad, window, stride in zip(sizes, pads, op.window, op.strides, strict=True)
    )
    windows = _Windows(sizes, counts, op.window, op.strides, tuple(pad[0] for pad in pads))
    return _pool(windows, x).transpose(sorted(range(x.ndim), key=order.__getitem__))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pool(windows: _Windows, x: jax.Array) -> jax.Array:
    return _greatest(windows, x)[0]


def _pool_backward(windows: _Windows, chosen: jax.Array, dy: jax.Array) -> tuple[jax.Array]:
    dy = lax.optimization_barrier(dy)  # each element is read several times
    gradient = _tiled if windows.is_tiling else _overlapping
    return (gradient(windows, chosen, dy),)


def _greatest(windows: _Windows, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The greatest element of each window, and its number among the window's places."""
    best = jnp.full((x.shape[0], *windows.counts, x.shape[-1]), least_number(x.dtype), x.dtype)
    none = len(windows.places)
    chosen = jnp.full(best.shape, none, np.uint8 if none < 256 else np.int32)
    for number, (cut, is_inside) in enumerate(_elements(windows, x)):
        is_better = (cut > best) | ((cut != cut) & (best == best)) | (chosen == none)
        is_better = is_better if is_inside is None else is_better & is_inside
        best = jnp.where(is_better, cut, best)
        chosen = jnp.where(is_better, chosen.dtype.type(number), chosen)
    return best, chosen


_pool.defvjp(_greatest, _pool_backward)


def _elements(windows: _Windows, x: jax.Array) -> list[tuple[jax.Array, Any]]:
    """For each place the elements `[N, counts..., C]` there, and which are no padding.

    The latter is None if none is.
    """
    padding = [(0, 0, 0)]
    for size, count, window, stride, before in zip(
        windows.sizes, windows.counts, windows.window, windows.strides, windows.before, strict=True
    ):
        padding.append((before, max(0, (count - 1) * stride + window - size - before), 0))
    padded = lax.pad(x, x.dtype.type(0), [*padding, (0, 0, 0)])
    cuts = []
    for place in windows.places:
        stops = [
            k + (count - 1) * stride + 1
            for k, count, stride in zip(place, windows.counts, windows.strides, strict=True)
        ]
        begin, end = (0, *place, 0), (x.shape[0], *stops, x.shape[-1])
        cut = lax.slice(padded, begin, end, (1, *windows.strides, 1))
        cuts.append((cut, _inside(windows, place)))
    return cuts


def _inside(windows: _Windows, place: Sizes) -> np.ndarray[Any, Any] | None:
    """Which windows have an element of x at that place, `[counts..., 1]`; None if all have."""
    rank = len(place)
    inside = np.ones((1,) * (rank + 1), bool)
    for axis, k in enumerate(place):
        starts = np.arange(windows.counts[axis]) * windows.strides[axis] - windows.before[axis]
        is_in = (starts + k >= 0) & (starts + k < windows.sizes[axis])
        inside = inside & is_in.reshape([-1 if i == axis else 1 for i in range(rank + 1)])
    return None if inside.all() else inside


def _tiled(windows: _Windows, chosen: jax.Array, dy: jax.Array) -> jax.Array:
    """The gradient where windows do not overlap: each element looks at its window."""
    num_axes = len(windows.window)
    numbers = np.arange(len(windows.places), dtype=chosen.dtype)
    blocks: list[int] = [1]
    shape = [dy.shape[0]]
    for count, width in zip(windows.counts, windows.window, strict=True):
        blocks += [1, width]
        shape.append(count * width)
    within = tuple(2 + 2 * axis for axis in range(num_axes))
    chosen, dy = (jnp.expand_dims(array, within) for array in (chosen, dy))
    spread = jnp.where(chosen == numbers.reshape(*blocks, 1), dy, dy.dtype.type(0))
    spread = spread.reshape(*shape, dy.shape[-1])
    edges = [
        (-before, size + before - covered, 0)
        for size, before, covered in zip(windows.sizes, windows.before, shape[1:], strict=True)
    ]
    return lax.pad(spread, dy.dtype.type(0), [(0, 0, 0), *edges, (0, 0, 0)])


def _overlapping(windows: _Windows, chosen: jax.Array, dy: jax.Array) -> jax.Array:
    """The gradient for any windows: each element looks at all that it is in.

    Elements whose places are equal modulo the strides are in windows at the same distances.
    """

    def part_of(phases: Sizes) -> jax.Array:
        first = [b // s for b, s in zip(windows.before, windows.strides, strict=True)]
        last = [
            -(-(before + size) // stride)
            for before, size, stride in zip(
                windows.before, windows.sizes, windows.strides, strict=True
            )
        ]
        num_elements = [end - begin for begin, end in zip(first, last, strict=True)]
        total = jnp.zeros((dy.shape[0], *num_elements, dy.shape[-1]), dy.dtype)
        for number, place in enumerate(windows.places):
            if any(
                k % stride != phase
                for k, stride, phase in zip(place, windows.strides, phases, strict=True)
            ):
                continue
            shifts = [k // stride for k, stride in zip(place, windows.strides, strict=True)]
            given = jnp.where(chosen == number, dy, dy.dtype.type(0))
            edges = [
                (shift - begin, end - shift - count, 0)
                for shift, begin, end, count in zip(
                    shifts, first, last, windows.counts, strict=True
                )
            ]
            total = total + lax.pad(given, dy.dtype.type(0), [(0, 0, 0), *edges, (0, 0, 0)])
        return total

    return interleaved(windows.strides, windows.before, windows.sizes, part_of)
