"""Trigonometric and hyperbolic functions, on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers_to

lowers_to(
    {
        ops.Acos: jnp.arccos,
        ops.Acosh: jnp.arccosh,
        ops.Asin: jnp.arcsin,
        ops.Asinh: jnp.arcsinh,
        ops.Atan: jnp.arctan,
        ops.Atan2: jnp.arctan2,
        ops.Atanh: jnp.arctanh,
        ops.Cosh: jnp.cosh,
        ops.Sinh: jnp.sinh,
        ops.Tan: jnp.tan,
    }
)
