"""Pooling on JAX. The gradient of a maximum goes to the first element that reaches it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from kcompile.ir.ops import AveragePool, MaxPool
from kcompile.ir.ops.reduction import least_number
from kcompile.ir.ops.windows import explicit_padding, spatial_axes
from kcompile.runtimes.jax.table import lowers


@lowers(MaxPool)
def max_pool(op: MaxPool, x: jax.Array) -> jax.Array:
    return _reduce_windows(op, x, least_number(x.dtype), lax.max)


@lowers(AveragePool)
def average_pool(op: AveragePool, x: jax.Array) -> jax.Array:
    return _reduce_windows(op, x, 0.0, lax.add) / _num_elements(op, x)


def _padding(op: MaxPool | AveragePool, x: jax.Array) -> tuple[tuple[int, int], ...]:
    sizes = tuple(x.shape[axis] for axis in spatial_axes(x.ndim, op.data_format))
    return explicit_padding(op.padding, sizes, op.window, op.strides, (1,) * len(sizes))


def _reduce_windows(
    op: MaxPool | AveragePool, x: jax.Array, initial: float, reduce: Callable[..., Any]
) -> jax.Array:
    window, strides = [1] * x.ndim, [1] * x.ndim
    padding = [(0, 0)] * x.ndim
    pads = _padding(op, x)
    for position, axis in enumerate(spatial_axes(x.ndim, op.data_format)):
        window[axis], strides[axis] = op.window[position], op.strides[position]
        padding[axis] = pads[position]
    # Only with a plain number as initial value does JAX see a reduction that it can differentiate.
    return lax.reduce_window(x, x.dtype.type(initial), reduce, window, strides, padding)


def _num_elements(op: AveragePool, x: jax.Array) -> np.ndarray[Any, Any]:
    """How many elements of x each window has, in a shape that broadcasts to the result."""
    pads = _padding(op, x)
    if not any(max(pair) for pair in pads):
        return np.asarray(math.prod(op.window), x.dtype)
    counts = np.ones((1,) * x.ndim)
    for position, axis in enumerate(spatial_axes(x.ndim, op.data_format)):
        window, stride, (before, after) = op.window[position], op.strides[position], pads[position]
        last_start = x.shape[axis] + after - window
        starts = np.arange(-before, last_start + 1, stride)
        inside = np.minimum(starts + window, x.shape[axis]) - np.maximum(starts, 0)
        counts = counts * inside.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return counts.astype(x.dtype)
