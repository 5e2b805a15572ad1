"""Ops on bits, on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers_to

lowers_to(
    {
        ops.BitwiseAnd: jnp.bitwise_and,
        ops.BitwiseNot: jnp.invert,
        ops.BitwiseOr: jnp.bitwise_or,
        ops.BitwiseXor: jnp.bitwise_xor,
        ops.ShiftLeft: jnp.left_shift,
        ops.ShiftRight: jnp.right_shift,
    }
)
