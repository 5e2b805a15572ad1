"""Products of matrices on JAX.

A product of many matrices with one is computed as one of two matrices: XLA on CPU computes the
gradient of the one, a sum over all leading axes, two to three times faster that way.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.table import lowers


@lowers(ops.Matmul)
def matmul(op: ops.Matmul, a: jax.Array, b: jax.Array) -> jax.Array:
    if b.ndim == 2:
        return _times_matrix(a, b)
    return jnp.matmul(a, b, precision=PRECISION)


@lowers(ops.Linear)
def linear(op: ops.Linear, x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    y = _times_matrix(x, w)
    return y if b is None else y + b


def _times_matrix(x: jax.Array, w: jax.Array) -> jax.Array:
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return jnp.matmul(rows, w, precision=PRECISION).reshape(*x.shape[:-1], w.shape[1])
