"""Running totals, on JAX."""

from __future__ import annotations

import jax
from jax import lax

from kcompile.ir import ops
from kcompile.runtimes.jax.table import lowers


@lowers(ops.CumSum)
def cum_sum(op: ops.CumSum, x: jax.Array) -> jax.Array:
    axis = op.axis % x.ndim
    if op.exclusive:  # a zero comes in at the start, and the last element goes out
        widths = [(0, 0, 0)] * x.ndim
        widths[axis] = (-1, 1, 0) if op.reverse else (1, -1, 0)
        x = lax.pad(x, x.dtype.type(0), widths)
    return lax.cumsum(x, axis, reverse=op.reverse)
