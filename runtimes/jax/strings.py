"""Lookup of integers. Strings are the host's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from kcompile.ir.ops import Lookup
from kcompile.runtimes.jax.table import lowers


@lowers(Lookup)
def _lookup(op: Lookup, x: jax.Array) -> jax.Array:
    """By binary search; keys that the type of x does not have are found nowhere."""
    limits = np.iinfo(x.dtype)
    keys, values = op.keys.array, op.values.array
    possible = (keys >= limits.min) & (keys <= limits.max)
    keys, values = keys[possible].astype(x.dtype), values[possible]
    order = np.argsort(keys)
    default = np.asarray(op.default, op.values.array.dtype)
    if not len(order):
        return jnp.full(x.shape, default)
    places = jnp.clip(jnp.searchsorted(keys[order], x), 0, len(order) - 1)
    found = jnp.asarray(keys[order])[places] == x
    return jnp.where(found, jnp.asarray(values[order])[places], default)
