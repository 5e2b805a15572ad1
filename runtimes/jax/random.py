"""Random numbers on JAX: the same code as the reference, so the same bits."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kcompile.ir.ops import Dropout, RandomUniform
from kcompile.ir.ops.random import keyed_hash, threefry
from kcompile.runtimes.jax.table import lowers

#: The most numbers that are worth keeping in memory rather than drawing where they are used.
_MAX_BARRIER = 2**16


@lowers(RandomUniform)
def random_uniform(op: RandomUniform, rng: jax.Array) -> jax.Array:
    numbers = _uniform(rng, op.stream, op.shape)  # type: ignore[arg-type]
    # Few numbers that many elements read would be drawn again for each of them, were they fused.
    return lax.optimization_barrier(numbers) if numbers.size <= _MAX_BARRIER else numbers


@lowers(Dropout)
def dropout(op: Dropout, x: jax.Array, rng: jax.Array) -> jax.Array:
    shape = x.shape if op.noise_shape is None else op.noise_shape
    numbers = _counted(shape)  # type: ignore[arg-type]
    noise = keyed_hash(_key(rng, op.stream), numbers).reshape(shape)  # type: ignore[arg-type]
    kept = x * x.dtype.type(1 / (1 - op.rate))
    return jnp.where(noise >> np.uint32(8) >= op.threshold, kept, x.dtype.type(0))


def _uniform(rng: jax.Array, stream: int, shape: tuple[int, ...]) -> jax.Array:
    """Uniform random numbers `f32` in [0, 1) of that shape."""
    counter = _counted(shape)
    words: jax.Array = threefry(_key(rng, stream), (counter, jnp.zeros_like(counter)))[0]  # type: ignore[arg-type, assignment]
    bits = words.reshape(shape)
    return (bits >> np.uint32(8)).astype(jnp.float32) * np.float32(2**-24)


def _key(rng: jax.Array, stream: int) -> tuple[Any, Any]:
    """The key of an op, of two words."""
    counter = jnp.asarray(stream, jnp.uint32)
    return threefry((rng[0], rng[1]), (counter, jnp.zeros_like(counter)))  # type: ignore[arg-type]


def _counted(shape: tuple[int, ...]) -> jax.Array:
    return lax.iota(jnp.uint32, math.prod(shape))
