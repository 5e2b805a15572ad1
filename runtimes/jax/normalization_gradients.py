"""Batch normalization for training on the CPU."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import BatchNormTraining
from kcompile.runtimes.jax.channel_sums import channel_sums
from kcompile.runtimes.jax.normalization import batch_norm_training
from kcompile.runtimes.jax.table import lowers_for_training

Arrays = tuple[jax.Array, ...]


@lowers_for_training("cpu", BatchNormTraining)
def batch_norm_for_training(
    op: BatchNormTraining,
    x: jax.Array,
    gamma: jax.Array | None = None,
    beta: jax.Array | None = None,
) -> Arrays:
    """Two passes forward and two backward, where JAX's own gradient takes more."""
    if op.axis % x.ndim != x.ndim - 1 or jnp.finfo(x.dtype).bits < 32:
        return batch_norm_training(op, x, gamma, beta)
    channels = x.shape[-1]
    scale = jnp.ones(channels, x.dtype) if gamma is None else gamma
    offset = jnp.zeros(channels, x.dtype) if beta is None else beta
    return _normalize(op.epsilon, x, scale, offset)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normalize(epsilon: float, x: jax.Array, gamma: jax.Array, beta: jax.Array) -> Arrays:
    return _forward(epsilon, x, gamma, beta)[0]


def _forward(
    epsilon: float, x: jax.Array, gamma: jax.Array, beta: jax.Array
) -> tuple[Arrays, Arrays]:
    """y, mean and variance `[C]`, the latter of squares of what is left without the mean."""
    count = x.dtype.type(math.prod(x.shape[:-1]))
    mean = channel_sums(x) / count
    variance = channel_sums(jnp.square(x - mean)) / count
    inverse = lax.rsqrt(variance + x.dtype.type(epsilon))
    y = (x - mean) * (inverse * gamma) + beta
    return (y, mean, variance), (x, mean, inverse, gamma)


def _backward(epsilon: float, kept: Arrays, gradients: Arrays) -> Arrays:
    """With `z = (x - mean) * inverse` and n elements of a channel:

    `dx = gamma * inverse * (dy - mean(dy) - z * mean(dy * z))`, and of the statistics' own
    gradients `dmean / n + 2 * (x - mean) * dvariance / n`. (Ioffe and Szegedy, 2015, section 3.)
    """
    x, mean, inverse, gamma = kept
    dy, dmean, dvariance = gradients
    count = x.dtype.type(math.prod(x.shape[:-1]))
    centred = x - mean
    dbeta = channel_sums(dy)
    dgamma = channel_sums(dy * centred) * inverse
    slope = gamma * inverse
    along_x = (x.dtype.type(2) * dvariance - slope * inverse * dgamma) / count
    dx = slope * dy + centred * along_x + (dmean - slope * dbeta) / count
    return dx, dgamma, dbeta


_normalize.defvjp(_forward, _backward)
