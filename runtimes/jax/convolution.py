"""Convolutions on JAX."""

from __future__ import annotations

import jax
from jax import lax

from kcompile.ir.ops import Conv
from kcompile.ir.ops.convolution import SPATIAL_INPUT_OUTPUT
from kcompile.ir.ops.windows import channel_axis, explicit_padding, spatial_axes
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.table import lowers


@lowers(Conv)
def conv(op: Conv, x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    axes = spatial_axes(x.ndim, op.data_format)
    channel = channel_axis(x.ndim, op.data_format)
    sizes = tuple(x.shape[axis] for axis in axes)
    window = op.window(w.shape)
    y = lax.conv_general_dilated(
        x,
        w,
        window_strides=op.strides,
        padding=explicit_padding(op.padding, sizes, window, op.strides, op.dilation),
        rhs_dilation=op.dilation,
        dimension_numbers=_dimension_numbers(op, x.ndim),
        feature_group_count=op.groups,
        precision=PRECISION,
    )
    if b is None:
        return y
    return y + b.reshape([-1 if axis == channel else 1 for axis in range(y.ndim)])


def _dimension_numbers(op: Conv, rank: int) -> lax.ConvDimensionNumbers:
    """Axes in the order of JAX: batch, channels, spatial; output and input channels, spatial."""
    axes = spatial_axes(rank, op.data_format)
    tensor = (0, channel_axis(rank, op.data_format), *axes)
    if op.kernel_format == SPATIAL_INPUT_OUTPUT:
        kernel = (rank - 1, rank - 2, *range(rank - 2))
    else:
        kernel = tuple(range(rank))
    return lax.ConvDimensionNumbers(tensor, kernel, tensor)
