"""Pytrees, for who may not import JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def flatten_tree(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of a pytree, and what puts others in their places."""
    flat, structure = jax.tree.flatten(tree)
    return flat, lambda leaves: jax.tree.unflatten(structure, leaves)


def placeholder(shape: Any) -> jax.Array:
    """Ones, with size 1 where a size is None."""
    return jnp.ones([1 if size is None else size for size in shape])
