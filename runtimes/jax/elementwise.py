"""Ops on each element, on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers, lowers_to

lowers_to(
    {
        ops.Absolute: jnp.abs,
        ops.Add: jnp.add,
        ops.Ceil: jnp.ceil,
        ops.Cos: jnp.cos,
        ops.Divide: jnp.divide,
        ops.Equal: jnp.equal,
        ops.Erf: lax.erf,
        ops.Exp: jnp.exp,
        ops.Expm1: jnp.expm1,
        ops.Floor: jnp.floor,
        ops.Greater: jnp.greater,
        ops.GreaterEqual: jnp.greater_equal,
        ops.IsFinite: jnp.isfinite,
        ops.IsNan: jnp.isnan,
        ops.Less: jnp.less,
        ops.LessEqual: jnp.less_equal,
        ops.Log: jnp.log,
        ops.Log1p: jnp.log1p,
        ops.LogicalAnd: jnp.logical_and,
        ops.LogicalNot: jnp.logical_not,
        ops.LogicalOr: jnp.logical_or,
        ops.Maximum: jnp.maximum,
        ops.Minimum: jnp.minimum,
        ops.Multiply: jnp.multiply,
        ops.Negative: jnp.negative,
        ops.NotEqual: jnp.not_equal,
        ops.Power: jnp.power,
        ops.Remainder: jnp.remainder,
        ops.Round: jnp.rint,
        ops.Rsqrt: lax.rsqrt,
        ops.Sign: jnp.sign,
        ops.Sin: jnp.sin,
        ops.Sqrt: jnp.sqrt,
        ops.Subtract: jnp.subtract,
        ops.Where: jnp.where,
    }
)


@lowers(ops.Clip)
def clip(op: ops.Clip, x: jax.Array) -> jax.Array:
    return jnp.clip(x, x.dtype.type(op.minimum), x.dtype.type(op.maximum))


@lowers(ops.Cast)
def cast(op: ops.Cast, x: jax.Array) -> jax.Array:
    return x.astype(op.dtype.numpy)
