"""Normalizations of each sample by its own statistics, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import GroupNorm, LayerNorm, RmsNorm
from kcompile.runtimes.jax.table import lowers


@lowers(LayerNorm)
def layer_norm(
    op: LayerNorm, x: jax.Array, gamma: jax.Array | None = None, beta: jax.Array | None = None
) -> jax.Array:
    axes = op.axes_of(x.ndim)
    return _affine(_normalized(_wide(x), axes, op.epsilon, True), x, gamma, beta, axes)


@lowers(RmsNorm)
def rms_norm(op: RmsNorm, x: jax.Array, gamma: jax.Array | None = None) -> jax.Array:
    axes = op.axes_of(x.ndim)
    return _affine(_normalized(_wide(x), axes, op.epsilon, False), x, gamma, None, axes)


@lowers(GroupNorm)
def group_norm(
    op: GroupNorm, x: jax.Array, gamma: jax.Array | None = None, beta: jax.Array | None = None
) -> jax.Array:
    axis = op.axis_of(x.ndim)
    split = (*x.shape[:axis], op.groups, x.shape[axis] // op.groups, *x.shape[axis + 1 :])
    others = tuple(other for other in range(1, x.ndim + 1) if other != axis)
    y = _normalized(_wide(x).reshape(split), others, op.epsilon, True).reshape(x.shape)
    return _affine(y, x, gamma, beta, (axis,))


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _normalized(x: jax.Array, axes: tuple[int, ...], epsilon: float, centered: bool) -> jax.Array:
    if centered:
        x = x - jnp.mean(x, axis=axes, keepdims=True)
    square = jnp.mean(jnp.square(x), axis=axes, keepdims=True)
    return x * lax.rsqrt(square + x.dtype.type(epsilon))


def _affine(
    y: jax.Array,
    x: jax.Array,
    gamma: jax.Array | None,
    beta: jax.Array | None,
    axes: tuple[int, ...],
) -> jax.Array:
    """`y * gamma + beta` in the element type of x."""
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    y = y if gamma is None else y * gamma.astype(y.dtype).reshape(shape)
    y = y if beta is None else y + beta.astype(y.dtype).reshape(shape)
    return y.astype(x.dtype)
