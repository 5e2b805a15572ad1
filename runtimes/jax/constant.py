"""Constants on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir.ops import Constant
from kcompile.runtimes.jax.table import lowers


@lowers(Constant)
def constant(op: Constant) -> jax.Array:
    return jnp.asarray(op.value.array)
