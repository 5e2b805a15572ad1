"""Random numbers on JAX: the same Threefry code as the reference, so the same bits."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kcompile.ir.ops import Dropout, RandomUniform
from kcompile.ir.ops.random import threefry
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
    noise = _uniform(rng, op.stream, shape)  # type: ignore[arg-type]
    kept = x * x.dtype.type(1 / (1 - op.rate))
    return jnp.where(noise >= np.float32(op.rate), kept, x.dtype.type(0))


def _uniform(rng: jax.Array, stream: int, shape: tuple[int, ...]) -> jax.Array:
    """Uniform random numbers `f32` in [0, 1) of that shape."""
    stream_counter = jnp.asarray(stream, jnp.uint32)
    key = threefry((rng[0], rng[1]), (stream_counter, jnp.zeros_like(stream_counter)))  # type: ignore[arg-type]
    counter = lax.iota(jnp.uint32, math.prod(shape))
    words: jax.Array = threefry(key, (counter, jnp.zeros_like(counter)))[0]  # type: ignore[arg-type, assignment]
    bits = words.reshape(shape)
    return (bits >> np.uint32(8)).astype(jnp.float32) * np.float32(2**-24)
