"""Biases in training on the CPU."""

from __future__ import annotations

import jax

from kcompile.runtimes.jax.channel_sums import channel_sums


@jax.custom_vjp
def add_bias(y: jax.Array, b: jax.Array) -> jax.Array:
    """y `[..., C]` and b `[C]`, of one type, added."""
    return y + b


def _forward(y: jax.Array, b: jax.Array) -> tuple[jax.Array, None]:
    return y + b, None


def _backward(kept: None, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    return dy, channel_sums(dy)


add_bias.defvjp(_forward, _backward)
