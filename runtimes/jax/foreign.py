"""Calls of JAX functions, which are called as they are."""

from __future__ import annotations

import jax

from kcompile.ir.ops import CustomGradient, ForeignCall
from kcompile.ir.ops.foreign import find_function
from kcompile.runtimes.jax.table import lowers


@lowers(ForeignCall)
def foreign_call(op: ForeignCall, *xs: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(find_function(op.function)(*xs))


@lowers(CustomGradient)
def custom_gradient(op: CustomGradient, *operands: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(find_function(op.function)(*operands[: op.num_arguments]))
