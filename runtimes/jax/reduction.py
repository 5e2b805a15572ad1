"""Reductions on JAX. The gradient of a maximum is shared by the elements that reach it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers


def _result_dtype(x: jax.Array) -> jnp.dtype | None:
    """None for floats: left to choose, JAX adds up those of 16 bits in 32, which do not overflow.

    Integers would become wider ones.
    """
    return None if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype


@lowers(ops.ReduceSum)
def reduce_sum(op: ops.ReduceSum, x: jax.Array) -> jax.Array:
    return jnp.sum(x, axis=op.axes, keepdims=op.keepdims, dtype=_result_dtype(x))


@lowers(ops.ReduceMean)
def reduce_mean(op: ops.ReduceMean, x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=op.axes, keepdims=op.keepdims)


@lowers(ops.ReduceProd)
def reduce_prod(op: ops.ReduceProd, x: jax.Array) -> jax.Array:
    return jnp.prod(x, axis=op.axes, keepdims=op.keepdims, dtype=_result_dtype(x))


@lowers(ops.ReduceMax)
def reduce_max(op: ops.ReduceMax, x: jax.Array) -> jax.Array:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    least = -jnp.inf if floating else jnp.iinfo(x.dtype).min
    return jnp.max(x, axis=op.axes, keepdims=op.keepdims, initial=least)


@lowers(ops.ReduceMin)
def reduce_min(op: ops.ReduceMin, x: jax.Array) -> jax.Array:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    greatest = jnp.inf if floating else jnp.iinfo(x.dtype).max
    return jnp.min(x, axis=op.axes, keepdims=op.keepdims, initial=greatest)


@lowers(ops.Argmax)
def argmax(op: ops.Argmax, x: jax.Array) -> jax.Array:
    return jnp.argmax(x, axis=op.axis, keepdims=op.keepdims).astype(op.dtype.numpy)


@lowers(ops.Argmin)
def argmin(op: ops.Argmin, x: jax.Array) -> jax.Array:
    return jnp.argmin(x, axis=op.axis, keepdims=op.keepdims).astype(op.dtype.numpy)
