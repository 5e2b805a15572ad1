"""Integer quotients, and the test for infinities, on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers_to

lowers_to({ops.FloorDivide: jnp.floor_divide, ops.IsInf: jnp.isinf})
