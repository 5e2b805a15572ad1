"""Resizing on JAX. The weights are computed in float64 when the function is traced."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir.ops import Resize
from kcompile.ir.ops.resizing import NEAREST, nearest_indices
from kcompile.ir.ops.windows import spatial_axes
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.table import lowers


@lowers(Resize)
def resize(op: Resize, x: jax.Array) -> jax.Array:
    y = x
    for axis, size in zip(spatial_axes(x.ndim, op.data_format), op.size, strict=True):
        if int(size) != x.shape[axis]:
            y = _along(op, y, axis, int(size))
    return y.astype(x.dtype)


def _along(op: Resize, x: jax.Array, axis: int, size: int) -> jax.Array:
    old = x.shape[axis]
    if op.method == NEAREST:
        if size % old == 0:  # its gradient is a sum, and no scatter
            return jnp.repeat(x, size // old, axis)
        return jnp.take(x, nearest_indices(old, size), axis)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    weights = op.weights(old, size).astype(wide)
    y = jnp.tensordot(x.astype(wide), weights, (axis, 1), precision=PRECISION)
    return jnp.moveaxis(y, -1, axis)
