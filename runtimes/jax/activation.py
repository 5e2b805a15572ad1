"""Activation functions on JAX. The gradient of relu at 0 is 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers, lowers_to

lowers_to(
    {
        ops.Relu: jax.nn.relu,
        ops.Sigmoid: jax.nn.sigmoid,
        ops.Softplus: jax.nn.softplus,
        ops.Softsign: jax.nn.soft_sign,
        ops.Tanh: jnp.tanh,
    }
)


@lowers(ops.Elu)
def elu(op: ops.Elu, x: jax.Array) -> jax.Array:
    return jax.nn.elu(x, op.alpha)


@lowers(ops.LeakyRelu)
def leaky_relu(op: ops.LeakyRelu, x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, x.dtype.type(op.negative_slope) * x)


@lowers(ops.HardSigmoid)
def hard_sigmoid(op: ops.HardSigmoid, x: jax.Array) -> jax.Array:
    return jax.nn.hard_sigmoid(x)


@lowers(ops.HardSwish)
def hard_swish(op: ops.HardSwish, x: jax.Array) -> jax.Array:
    return jax.nn.hard_swish(x)


@lowers(ops.PRelu)
def p_relu(op: ops.PRelu, x: jax.Array, slope: jax.Array) -> jax.Array:
    """The derivative by x at 0 is 0, as relu's is."""
    return jnp.where(x > 0, x, slope * jnp.where(x == 0, 0, x))


@lowers(ops.Gelu)
def gelu(op: ops.Gelu, x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=op.approximate)


@lowers(ops.Softmax)
def softmax(op: ops.Softmax, x: jax.Array) -> jax.Array:
    return jax.nn.softmax(x, axis=op.axis)


@lowers(ops.LogSoftmax)
def log_softmax(op: ops.LogSoftmax, x: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(x, axis=op.axis)
