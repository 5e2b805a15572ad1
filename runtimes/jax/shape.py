"""Ops that move, select and repeat elements, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers


@lowers(ops.Reshape)
def reshape(op: ops.Reshape, x: jax.Array) -> jax.Array:
    return jnp.reshape(x, op.shape)


@lowers(ops.Transpose)
def transpose(op: ops.Transpose, x: jax.Array) -> jax.Array:
    return jnp.transpose(x, op.permutation)


@lowers(ops.BroadcastTo)
def broadcast_to(op: ops.BroadcastTo, x: jax.Array) -> jax.Array:
    return jnp.broadcast_to(x, op.shape)


@lowers(ops.Concatenate)
def concatenate(op: ops.Concatenate, *xs: jax.Array) -> jax.Array:
    return jnp.concatenate(xs, axis=op.axis)


@lowers(ops.Slice)
def slice_(op: ops.Slice, x: jax.Array) -> jax.Array:
    return lax.slice(x, op.starts, op.limits, op.strides)  # type: ignore[arg-type]


@lowers(ops.Pad)
def pad(op: ops.Pad, x: jax.Array) -> jax.Array:
    widths = [(before, after, 0) for before, after in op.widths]
    return lax.pad(x, x.dtype.type(op.value), widths)


@lowers(ops.Gather)
def gather(op: ops.Gather, x: jax.Array, indices: jax.Array) -> jax.Array:
    """Floats at an index outside are NaN, which training reports, rather than another row."""
    return jnp.take(x, indices, axis=op.axis, mode="fill")


@lowers(ops.OneHot)
def one_hot(op: ops.OneHot, indices: jax.Array) -> jax.Array:
    return is_class(indices, op.depth, -1).astype(op.dtype.numpy)


@lowers(ops.Iota)
def iota(op: ops.Iota) -> jax.Array:
    return jnp.arange(op.size, dtype=op.dtype.numpy)


@lowers(ops.DimSize)
def dim_size(op: ops.DimSize) -> jax.Array:
    return jnp.asarray(op.size, op.dtype.numpy)


def is_class(indices: jax.Array, num_classes: int, axis: int) -> jax.Array:
    """Whether `indices` are 0, 1, ..., num_classes - 1, along a new axis at `axis`."""
    if indices.dtype.itemsize < 4:  # int8 can't count to 1000 classes
        indices = indices.astype(jnp.int32)
    expanded = jnp.expand_dims(indices, axis)
    shape = [1] * expanded.ndim
    shape[axis] = num_classes
    classes = lax.broadcasted_iota(indices.dtype, shape, axis % expanded.ndim)
    return expanded == classes
