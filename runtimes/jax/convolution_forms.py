"""Convolutions and their gradients in forms that XLA's CPU backend runs well.

What JAX's own gradients make of a convolution (exchanged axes, dilated operands, grouped batches)
is computed 10 to 150 times slower inside a loop than the plain forms here; `docs/performance.md`
has the numbers. All tensors are `[N, S..., C]` and all kernels `[K..., C / groups, F]`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.runtimes.jax.precision import PRECISION

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """How windows lie on the spatial axes.

    Window o of an axis covers the elements `o * stride + k * dilation - before`, for the k of the
    kernel; those outside of the axis count as 0.

    Attributes:
        sizes: of the axes that the windows lie on.
        counts: of the windows.
        window: sizes of the kernel.
        strides, dilation, before: as above.
        groups: parts of the channels that are convolved apart.
    """

    sizes: Sizes
    counts: Sizes
    window: Sizes
    strides: Sizes
    dilation: Sizes
    before: Sizes
    groups: int = 1


def forward(geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    """The convolution `[N, counts..., F]` of x `[N, sizes..., C]`."""
    g = geometry
    after = [
        (count - 1) * stride + (window - 1) * dilation + 1 - size - before
        for count, stride, window, dilation, size, before in zip(
            g.counts, g.strides, g.window, g.dilation, g.sizes, g.before, strict=True
        )
    ]
    pads = tuple(zip(g.before, after, strict=True))
    return _convolve(x, w, pads, g.strides, g.dilation, g.groups)


def input_gradient(geometry: Geometry, dy: jax.Array, w: jax.Array) -> jax.Array:
    """The gradient `[N, sizes..., C]` in x, given that in y `[N, counts..., F]`.

    Elements whose places are equal modulo the strides are reached by the same part of the kernel:
    each such phase is a convolution of dy with that part, mirrored, without strides.
    """
    kernel = _exchanged(w, geometry.groups)
    return interleaved(
        geometry.strides,
        geometry.before,
        geometry.sizes,
        lambda phases: _phase(geometry, dy, kernel, phases),
    )


def kernel_gradient(geometry: Geometry, x: jax.Array, dy: jax.Array) -> jax.Array:
    """The gradient `[K..., C / groups, F]` in w, given x and the gradient in y."""
    if geometry.groups > 1:
        return _grouped_kernel_gradient(geometry, x, dy)
    g, rank = geometry, x.ndim
    inner = tuple(range(1, rank - 1))
    after = [
        (window - 1) * dilation + (count - 1) * stride + 1 - size - before
        for window, dilation, count, stride, size, before in zip(
            g.window, g.dilation, g.counts, g.strides, g.sizes, g.before, strict=True
        )
    ]
    pads = tuple(zip(g.before, after, strict=True))
    channels_as_batch = x.transpose(rank - 1, *inner, 0)
    dw = _convolve(
        channels_as_batch, dy.transpose(*inner, 0, rank - 1), pads, g.dilation, g.strides
    )
    return dw.transpose(*inner, 0, rank - 1)


def _convolve(
    x: jax.Array,
    w: jax.Array,
    pads: tuple[tuple[int, int], ...],
    strides: Sizes,
    dilation: Sizes,
    groups: int = 1,
) -> jax.Array:
    """A convolution; a negative padding leaves elements out."""
    if any(pad < 0 for pair in pads for pad in pair):
        kept = [
            slice(max(-before, 0), size - max(-after, 0))
            for size, (before, after) in zip(x.shape[1:-1], pads, strict=True)
        ]
        x = x[(slice(None), *kept, slice(None))]
        pads = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    rank = x.ndim
    tensor = (0, rank - 1, *range(1, rank - 1))
    kernel = (rank - 1, rank - 2, *range(rank - 2))
    return lax.conv_general_dilated(
        x,
        w,
        window_strides=strides,
        padding=pads,
        rhs_dilation=dilation,
        dimension_numbers=lax.ConvDimensionNumbers(tensor, kernel, tensor),
        feature_group_count=groups,
        precision=PRECISION,
    )


def _exchanged(w: jax.Array, groups: int) -> jax.Array:
    """The kernel `[K..., F / groups, C]` that takes F channels back to C."""
    if groups == 1:
        return jnp.swapaxes(w, -1, -2)
    *window, inner, features = w.shape
    parts = w.reshape(*window, inner, groups, features // groups)
    return jnp.moveaxis(parts, -3, -1).swapaxes(-3, -2).reshape(*window, features // groups, -1)


def interleaved(
    strides: Sizes,
    before: Sizes,
    sizes: Sizes,
    part_of: Callable[[Sizes], jax.Array],
    phases: Sizes = (),
) -> jax.Array:
    """The phases of all axes from number `len(phases)` on, put together; given those before.

    Phase p of an axis has the elements at `(place + before) % stride == p`, from the one at
    `before // stride` strides to the last one that any phase needs.
    """
    axis = len(phases)
    if axis == len(sizes):
        return part_of(phases)
    stride = strides[axis]
    parts = [
        interleaved(strides, before, sizes, part_of, (*phases, phase)) for phase in range(stride)
    ]
    if stride == 1:
        return parts[0]
    whole = jnp.stack(parts, axis=axis + 2)
    shape = list(parts[0].shape)
    shape[axis + 1] *= stride
    start = before[axis] % stride
    return lax.slice_in_dim(whole.reshape(shape), start, start + sizes[axis], axis=axis + 1)


def _phase(g: Geometry, dy: jax.Array, kernel: jax.Array, phases: Sizes) -> jax.Array:
    """The gradients of the elements at `(place + before) % stride == phase` on each axis.

    On an axis, kernel element k reaches such an element from window `(place + before) // stride -
    shift`, where `k * dilation = phase + stride * shift`.
    """
    parts: list[slice] = []
    pads, steps = [], []
    num_elements = []
    for axis, phase in enumerate(phases):
        stride, dilation, window = g.strides[axis], g.dilation[axis], g.window[axis]
        first = g.before[axis] // stride
        last = -(-(g.before[axis] + g.sizes[axis]) // stride)
        num_elements.append(last - first)
        reaching = [k for k in range(window) if k * dilation % stride == phase]
        if not reaching:
            parts.append(slice(0, 0))
            continue
        common = math.gcd(stride, dilation)
        parts.append(slice(reaching[0], None, stride // common))
        steps.append(dilation // common)
        shift = (reaching[-1] * dilation - phase) // stride
        extent = (len(reaching) - 1) * steps[-1]
        before = shift - first
        pads.append((before, last - first + extent - g.counts[axis] - before))
    part = kernel[tuple(parts)]
    if part.size == 0:
        return jnp.zeros((dy.shape[0], *num_elements, kernel.shape[-1]), dy.dtype)
    mirrored = jnp.flip(part, tuple(range(len(phases))))
    return _convolve(dy, mirrored, tuple(pads), (1,) * len(phases), tuple(steps), g.groups)


def taps(geometry: Geometry, x: jax.Array) -> list[jax.Array]:
    """For each kernel element the elements of x `[N, counts..., C]` that meet it, in its order."""
    g = geometry
    ends = [
        max(0, (count - 1) * stride + (window - 1) * dilation + 1 - size - before)
        for count, stride, window, dilation, size, before in zip(
            g.counts, g.strides, g.window, g.dilation, g.sizes, g.before, strict=True
        )
    ]
    padded = jnp.pad(x, [(0, 0), *zip(g.before, ends, strict=True), (0, 0)])
    cuts = []
    for place in itertools.product(*map(range, g.window)):
        starts = [k * dilation for k, dilation in zip(place, g.dilation, strict=True)]
        stops = [
            start + (count - 1) * stride + 1
            for start, count, stride in zip(starts, g.counts, g.strides, strict=True)
        ]
        begin, end = (0, *starts, 0), (x.shape[0], *stops, x.shape[-1])
        cuts.append(lax.slice(padded, begin, end, (1, *g.strides, 1)))
    return cuts


def _grouped_kernel_gradient(g: Geometry, x: jax.Array, dy: jax.Array) -> jax.Array:
    """A product for each kernel element, of all groups at once."""
    inner, features = x.shape[-1] // g.groups, dy.shape[-1] // g.groups
    split_dy = dy.reshape(-1, g.groups, features)
    gradients = []
    for cut in taps(g, x):
        split_x = cut.reshape(-1, g.groups, inner)
        if inner == 1:
            product = jnp.sum(split_x * split_dy, axis=0)[None]
        else:
            product = jnp.einsum("ngc,ngf->cgf", split_x, split_dy, precision=PRECISION)
        gradients.append(product.reshape(inner, g.groups * features))
    return jnp.stack(gradients).reshape(*g.window, inner, g.groups * features)
