"""Floats as small integers and back, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir import ops
from kcompile.ir.ops.quantization import limits
from kcompile.ir.types import DType
from kcompile.runtimes.jax.table import lowers


def _along(parameter: jax.Array, rank: int, axis: int | None) -> jax.Array:
    if axis is None:
        return parameter
    shape = [1] * rank
    shape[axis] = -1
    return parameter.reshape(shape)


def _wide(x: jax.Array) -> jax.Array:
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _quantized(
    x: jax.Array, scale: jax.Array, zero_point: jax.Array, dtype: DType, axis: int | None
) -> jax.Array:
    scale, zero_point = (_along(p, x.ndim, axis) for p in (scale, zero_point))
    quotient = _wide(x) / _wide(scale)
    rounded = jnp.rint(quotient) + zero_point.astype(quotient.dtype)
    return jnp.clip(rounded, *limits(dtype)).astype(dtype.numpy)


def _dequantized(
    q: jax.Array, scale: jax.Array, zero_point: jax.Array | None, axis: int | None
) -> jax.Array:
    shifted = q.astype(jnp.int32)
    if zero_point is not None:
        shifted = shifted - _along(zero_point, q.ndim, axis).astype(jnp.int32)
    wide = _wide(_along(scale, q.ndim, axis))
    return (shifted.astype(wide.dtype) * wide).astype(scale.dtype)


@lowers(ops.Quantize)
def quantize(op: ops.Quantize, x: jax.Array, scale: jax.Array, zero_point: jax.Array) -> jax.Array:
    return _quantized(x, scale, zero_point, op.dtype, op.axis)


@lowers(ops.Dequantize)
def dequantize(
    op: ops.Dequantize, q: jax.Array, scale: jax.Array, zero_point: jax.Array | None = None
) -> jax.Array:
    return _dequantized(q, scale, zero_point, op.axis)


@lowers(ops.FakeQuantize)
def fake_quantize(
    op: ops.FakeQuantize, x: jax.Array, scale: jax.Array, zero_point: jax.Array
) -> jax.Array:
    scale = lax.stop_gradient(scale)
    y = _dequantized(
        _quantized(lax.stop_gradient(x), scale, zero_point, op.dtype, op.axis),
        scale,
        zero_point,
        op.axis,
    )
    ends = (jnp.full(zero_point.shape, limit, op.dtype.numpy) for limit in limits(op.dtype))
    low, high = (
        _along(_dequantized(end, scale, zero_point, 0 if end.ndim else None), x.ndim, op.axis)
        for end in ends
    )
    within = jnp.where((x >= low) & (x <= high), x, lax.stop_gradient(x))
    return y + jnp.where(jnp.isfinite(x), within - lax.stop_gradient(within), 0)


@lowers(ops.DynamicQuantize)
def dynamic_quantize(
    op: ops.DynamicQuantize, x: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    least, greatest = jnp.min(x, initial=0), jnp.max(x, initial=0)
    scale = (greatest - least) / x.dtype.type(255)
    scale = jnp.where(scale == 0, 1, scale).astype(x.dtype)
    zero_point = jnp.clip(jnp.rint(-least / scale), 0, 255).astype(jnp.uint8)
    return _quantized(x, scale, zero_point, DType.UINT8, None), scale, zero_point


@lowers(ops.IntegerMatmul)
def integer_matmul(
    op: ops.IntegerMatmul, a: jax.Array, b: jax.Array, zero_point: jax.Array
) -> jax.Array:
    shifted = a.astype(jnp.int32) - zero_point.astype(jnp.int32)
    return jnp.matmul(shifted, b.astype(jnp.int32))
