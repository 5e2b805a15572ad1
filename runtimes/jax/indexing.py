"""Ops that read and write elements at given indices, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers


@lowers(ops.GatherElements)
def gather_elements(op: ops.GatherElements, x: jax.Array, indices: jax.Array) -> jax.Array:
    """Floats at an index outside are NaN, which training reports, rather than another element."""
    return jnp.take_along_axis(x, indices, axis=op.axis, mode="fill")


@lowers(ops.ScatterNd)
def scatter_nd(
    op: ops.ScatterNd, x: jax.Array, indices: jax.Array, updates: jax.Array
) -> jax.Array:
    places = x.at[tuple(jnp.moveaxis(indices, -1, 0))]
    write = places.set if op.reduction == "none" else getattr(places, op.reduction)
    return write(updates)
