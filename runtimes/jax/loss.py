"""Cross-entropies on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir.ops import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from kcompile.runtimes.jax.shape import is_class
from kcompile.runtimes.jax.table import lowers


@lowers(CategoricalCrossentropy)
def categorical_crossentropy(
    op: CategoricalCrossentropy, labels: jax.Array, predictions: jax.Array
) -> jax.Array:
    return -jnp.sum(labels * _log_probabilities(op, predictions), axis=op.axis)


@lowers(SparseCategoricalCrossentropy)
def sparse_categorical_crossentropy(
    op: SparseCategoricalCrossentropy, labels: jax.Array, predictions: jax.Array
) -> jax.Array:
    """Selects rather than multiplies: 0 times a logarithm of -inf would be NaN."""
    logs = _log_probabilities(op, predictions)
    chosen = is_class(labels, logs.shape[op.axis], op.axis)
    return -jnp.sum(jnp.where(chosen, logs, logs.dtype.type(0)), axis=op.axis)


@lowers(BinaryCrossentropy)
def binary_crossentropy(
    op: BinaryCrossentropy, labels: jax.Array, predictions: jax.Array
) -> jax.Array:
    one = predictions.dtype.type(1)
    if op.from_logits:  # -ln(sigmoid(x)) = softplus(-x)
        positive, negative = jax.nn.softplus(-predictions), jax.nn.softplus(predictions)
        return labels * positive + (one - labels) * negative
    epsilon = predictions.dtype.type(op.epsilon)
    p = jnp.clip(predictions, epsilon, one - epsilon)
    return -labels * jnp.log(p) - (one - labels) * jnp.log1p(-p)


def _log_probabilities(
    op: CategoricalCrossentropy | SparseCategoricalCrossentropy, predictions: jax.Array
) -> jax.Array:
    if op.from_logits:
        return jax.nn.log_softmax(predictions, axis=op.axis)
    y = predictions / jnp.sum(predictions, axis=op.axis, keepdims=True)
    return jnp.log(jnp.clip(y, y.dtype.type(op.epsilon), y.dtype.type(1 - op.epsilon)))
