"""The precision of products, decided in one place."""

from __future__ import annotations

from jax import lax

#: JAX's default lets a GPU or TPU compute float32 products in TF32 or bfloat16, with 8 to 11 bits
#: of mantissa. A graph that says float32 means 24. Gradients inherit this from the forward op;
#: smaller element types are not affected.
PRECISION = lax.Precision.HIGHEST
