"""What only training sees, on JAX."""

from __future__ import annotations

from jax import lax

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers_to

lowers_to({ops.StopGradient: lax.stop_gradient})
