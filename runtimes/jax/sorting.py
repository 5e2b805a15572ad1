"""Order along an axis, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers


@lowers(ops.TopK)
def top_k(op: ops.TopK, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    axis = op.axis % x.ndim
    if op.largest:
        if jnp.issubdtype(x.dtype, jnp.floating):  # XLA puts -0 below 0, and NaN by its sign
            x = jnp.where(x == 0, 0, jnp.where(x != x, jnp.nan, x))
        values, indices = lax.top_k(jnp.moveaxis(x, axis, -1), int(op.k))
        values, indices = jnp.moveaxis(values, -1, axis), jnp.moveaxis(indices, -1, axis)
    else:
        places = lax.broadcasted_iota(jnp.int32, x.shape, axis)
        values, indices = lax.sort((x, places), dimension=axis, is_stable=True, num_keys=1)
        values = lax.slice_in_dim(values, 0, int(op.k), axis=axis)
        indices = lax.slice_in_dim(indices, 0, int(op.k), axis=axis)
    return values, indices.astype(op.dtype.numpy)
