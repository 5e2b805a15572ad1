"""Normalizations on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import BatchNorm, BatchNormTraining
from kcompile.runtimes.jax.table import lowers


@lowers(BatchNorm)
def batch_norm(
    op: BatchNorm,
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    gamma: jax.Array | None = None,
    beta: jax.Array | None = None,
) -> jax.Array:
    return _normalize(x, op.axis, op.epsilon, mean, variance, gamma, beta)


@lowers(BatchNormTraining)
def batch_norm_training(
    op: BatchNormTraining,
    x: jax.Array,
    gamma: jax.Array | None = None,
    beta: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Two passes: the mean of squares minus the square of the mean loses all digits far from 0.

    Statistics of 16-bit floats are computed in 32 bits, where their squares do not overflow.
    """
    others = tuple(axis for axis in range(x.ndim) if axis != op.axis % x.ndim)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(wide, axis=others)
    variance = jnp.mean(jnp.square(wide - _along(mean, x, op.axis)), axis=others)
    y = _normalize(wide, op.axis, op.epsilon, mean, variance, gamma, beta)
    return y.astype(x.dtype), _within_range(mean, x.dtype), _within_range(variance, x.dtype)


def _within_range(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """x as `dtype`; what is beyond the range of float16 becomes its greatest number."""
    if dtype == jnp.float16:
        limits = jnp.finfo(jnp.float16)
        x = jnp.clip(x, limits.min, limits.max)
    return x.astype(dtype)


def _normalize(
    x: jax.Array,
    axis: int,
    epsilon: float,
    mean: jax.Array,
    variance: jax.Array,
    gamma: jax.Array | None,
    beta: jax.Array | None,
) -> jax.Array:
    scale = lax.rsqrt(variance + x.dtype.type(epsilon))
    scale = scale if gamma is None else scale * gamma
    y = (x - _along(mean, x, axis)) * _along(scale, x, axis)
    return y if beta is None else y + _along(beta, x, axis)


def _along(vector: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    shape = [1] * x.ndim
    shape[axis] = -1
    return vector.reshape(shape)
