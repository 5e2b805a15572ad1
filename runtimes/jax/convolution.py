"""Convolutions on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import Conv
from kcompile.ir.ops.convolution import SPATIAL_INPUT_OUTPUT
from kcompile.ir.ops.windows import channel_axis, explicit_padding, spatial_axes
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.table import lowers

#: Elements before and after each spatial axis.
Pads = tuple[tuple[int, int], ...]


@lowers(Conv)
def conv(op: Conv, x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    axes = spatial_axes(x.ndim, op.data_format)
    channel = channel_axis(x.ndim, op.data_format)
    sizes = tuple(x.shape[axis] for axis in axes)
    window = op.window(w.shape)
    padding = explicit_padding(op.padding, sizes, window, op.strides, op.dilation)
    x, padding = _within_reach(x, axes, padding, window, op.dilation)
    y = lax.conv_general_dilated(
        x,
        w,
        window_strides=op.strides,
        padding=padding,
        rhs_dilation=op.dilation,
        dimension_numbers=_dimension_numbers(op, x.ndim),
        feature_group_count=op.groups,
        precision=PRECISION,
    )
    if b is None:
        return y
    return y + b.reshape([-1 if axis == channel else 1 for axis in range(y.ndim)])


def _within_reach(
    x: jax.Array,
    axes: tuple[int, ...],
    padding: Pads,
    window: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[jax.Array, Pads]:
    """x with what the padding has beyond the kernel's reach, and the padding that is left.

    JAX makes negative paddings of it in the gradient, which XLA 0.10's CPU backend gets wrong.
    """
    reach = [(k - 1) * d for k, d in zip(window, dilation, strict=True)]
    left = tuple((min(a, r), min(b, r)) for (a, b), r in zip(padding, reach, strict=True))
    if left == padding:
        return x, padding
    beyond = [(0, 0)] * x.ndim
    for axis, whole, kept in zip(axes, padding, left, strict=True):
        beyond[axis] = (whole[0] - kept[0], whole[1] - kept[1])
    return jnp.pad(x, beyond), left


def _dimension_numbers(op: Conv, rank: int) -> lax.ConvDimensionNumbers:
    """Axes in the order of JAX: batch, channels, spatial; output and input channels, spatial."""
    axes = spatial_axes(rank, op.data_format)
    tensor = (0, channel_axis(rank, op.data_format), *axes)
    if op.kernel_format == SPATIAL_INPUT_OUTPUT:
        kernel = (rank - 1, rank - 2, *range(rank - 2))
    else:
        kernel = tuple(range(rank))
    return lax.ConvDimensionNumbers(tensor, kernel, tensor)
