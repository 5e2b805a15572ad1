"""Ops that repeat, reverse and blank out elements, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers


@lowers(ops.Tile)
def tile(op: ops.Tile, x: jax.Array) -> jax.Array:
    return jnp.tile(x, tuple(map(int, op.repeats)))


@lowers(ops.Reverse)
def reverse(op: ops.Reverse, x: jax.Array) -> jax.Array:
    return lax.rev(x, [axis % x.ndim for axis in op.axes])


@lowers(ops.Trilu)
def trilu(op: ops.Trilu, x: jax.Array) -> jax.Array:
    return jnp.triu(x, op.k) if op.upper else jnp.tril(x, op.k)
