"""Biases in training on the CPU."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir.ops import Add
from kcompile.runtimes.jax.channel_sums import channel_sums
from kcompile.runtimes.jax.table import lowers_for_training


@lowers_for_training("cpu", Add)
def add(op: Add, a: jax.Array, b: jax.Array) -> jax.Array:
    """A vector that is added to all rows of images has its gradient by `add_bias`."""
    if _is_bias(a, b):
        return add_bias(a, b)
    return add_bias(b, a) if _is_bias(b, a) else a + b


@jax.custom_vjp
def add_bias(y: jax.Array, b: jax.Array) -> jax.Array:
    """y `[..., C]` and b `[C]`, of one type, added."""
    return y + b


def _forward(y: jax.Array, b: jax.Array) -> tuple[jax.Array, None]:
    return y + b, None


def _backward(kept: None, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    return dy, channel_sums(dy)


add_bias.defvjp(_forward, _backward)


def _is_bias(y: jax.Array, b: jax.Array) -> bool:
    return (
        b.ndim == 1
        and y.ndim >= 3
        and y.shape[-1] == len(b)
        and y.dtype == b.dtype
        and jnp.issubdtype(y.dtype, jnp.floating)
    )
