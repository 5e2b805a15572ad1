"""Sums over all axes but the last, in a form that XLA's CPU backend runs well."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from kcompile.runtimes.jax.precision import PRECISION


def channel_sums(x: jax.Array) -> jax.Array:
    """The sums `[C]` of x `[..., C]`.

    One axis after the other is summed, by a product with ones: XLA makes windows of 32 elements of
    a plain sum, which takes two to three times longer, while it reads whole rows in a product.
    Because no sum has more terms than one axis has elements, few digits are lost; numbers of 16
    bits are added in 32.
    """
    dtype = x.dtype
    x = x.astype(jnp.promote_types(dtype, jnp.float32))
    while x.ndim > 1:
        size, *rest = x.shape
        rows = x.reshape(size, math.prod(rest))
        x = jnp.matmul(jnp.ones((1, size), x.dtype), rows, precision=PRECISION).reshape(rest)
    return x.astype(dtype)
