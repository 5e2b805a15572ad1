"""Transposed convolutions on JAX: convolutions of x with zeros between its elements."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import ConvTranspose
from kcompile.ir.ops.transposed import SPATIAL_OUTPUT_INPUT
from kcompile.ir.ops.windows import channel_axis, spatial_axes
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.table import lowers


@lowers(ConvTranspose)
def conv_transpose(
    op: ConvTranspose, x: jax.Array, w: jax.Array, b: jax.Array | None = None
) -> jax.Array:
    rank = x.ndim
    channel = channel_axis(rank, op.data_format)
    tensor = (0, channel, *spatial_axes(rank, op.data_format))
    if op.kernel_format == SPATIAL_OUTPUT_INPUT:
        kernel = (rank - 2, rank - 1, *range(rank - 2))
    else:
        kernel = (1, 0, *range(2, rank))
    extents = [(k - 1) * d for k, d in zip(op.window(w.shape), op.dilation, strict=True)]
    padding = [
        (extent - before, extent - after + extra)
        for extent, (before, after), extra in zip(
            extents, op.padding, op.output_padding, strict=True
        )
    ]
    y = lax.conv_general_dilated(
        x,
        jnp.flip(w, kernel[2:]),
        window_strides=(1,) * (rank - 2),
        padding=[(max(before, 0), max(after, 0)) for before, after in padding],
        lhs_dilation=op.strides,
        rhs_dilation=op.dilation,
        dimension_numbers=lax.ConvDimensionNumbers(tensor, kernel, tensor),
        precision=PRECISION,
    )
    # XLA's CPU backend gets negative paddings wrong (jax 0.10): what they leave out is cut here.
    for axis, (before, after) in zip(tensor[2:], padding, strict=True):
        y = lax.slice_in_dim(y, max(-before, 0), y.shape[axis] - max(-after, 0), axis=axis)
    if b is None:
        return y
    return y + b.reshape([-1 if axis == channel else 1 for axis in range(rank)])
