"""Max pooling in the form that training uses on the CPU."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import numpy as np
import pytest

from kcompile.ir.ops import MaxPool
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST, explicit_padding
from kcompile.runtimes.jax.table import LOWERINGS, training_table


def _run(table: Any, op: MaxPool, x: Any, dy: Any) -> tuple[Any, Any]:
    @jax.jit
    def run(x: Any) -> Any:
        y, gradient_of = jax.vjp(functools.partial(table[MaxPool], op), x)
        return y, gradient_of(dy)[0]

    y, dx = run(x)
    return np.asarray(y), np.asarray(dx)


def _expected(op: MaxPool, x: Any, dy: Any) -> Any:
    """Each window's gradient at the first element that reaches its maximum, or is NaN."""
    sizes = x.shape[1:-1]
    pads = explicit_padding(op.padding, sizes, op.window, op.strides, (1,) * len(sizes))
    dx = np.zeros_like(x)
    for n, *places, c in np.ndindex(*dy.shape):
        best = None
        for k in np.ndindex(*op.window):
            at = [
                o * s + i - pad[0] for o, s, i, pad in zip(places, op.strides, k, pads, strict=True)
            ]
            if any(i < 0 or i >= size for i, size in zip(at, sizes, strict=True)):
                continue
            value = x[(n, *at, c)]
            if best is None or value > best[0] or (np.isnan(value) and not np.isnan(best[0])):
                best = value, (n, *at, c)
        dx[best[1]] += dy[(n, *places, c)]
    return dx


WINDOWS = [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 1)), ((2, 1), (3, 2)), ((2, 4), (2, 3))]
PADDINGS: list[Any] = ["same", ((0, 0), (0, 0)), ((1, 0), (0, 0))]


@pytest.mark.parametrize(
    ("windows", "padding", "size"), list(itertools.product(WINDOWS, PADDINGS, [(6, 8), (7, 5)]))
)
def test_the_gradient_goes_to_the_first_greatest(windows: Any, padding: Any, size: Any) -> None:
    """Small whole numbers: nearly every window has ties."""
    op = MaxPool(*windows, padding)
    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (2, *size, 3)).astype(np.float32)
    x[0, 1, 2] = np.nan
    x[1] = -np.inf
    expected = op.reference(x)
    dy = rng.normal(size=expected.shape).astype(np.float32)
    y, dx = _run(training_table("cpu"), op, x, dy)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(dx, _expected(op, x, dy), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("data_format", [CHANNELS_LAST, CHANNELS_FIRST])
@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks_and_formats_have_the_same_gradient_as_by_default(
    rank: int, data_format: str
) -> None:
    op = MaxPool((3,) * rank, (2,) * rank, "same", data_format)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 6, *(5, 4)[: rank - 1], 5)).astype(np.float32)
    dy = rng.normal(size=op.reference(x).shape).astype(np.float32)
    for actual, expected in zip(
        _run(training_table("cpu"), op, x, dy), _run(LOWERINGS, op, x, dy), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


def test_windows_of_many_elements_are_numbered_in_more_bits() -> None:
    op = MaxPool((20, 20), (20, 20), ((0, 0), (0, 0)))
    x = np.random.default_rng(5).normal(size=(2, 20, 40, 2)).astype(np.float32)
    y, dx = _run(training_table("cpu"), op, x, np.ones((2, 1, 2, 2), np.float32))
    np.testing.assert_array_equal(dx != 0, np.repeat(np.repeat(y, 20, 1), 20, 2) == x)


def test_whole_numbers_and_empty_batches_have_maxima_too() -> None:
    op = MaxPool((2,), (2,), "same")
    lowering = training_table("cpu")[MaxPool]
    x = np.arange(10, dtype=np.int32).reshape(1, 5, 2)
    np.testing.assert_array_equal(lowering(op, jax.numpy.asarray(x)), op.reference(x))
    assert lowering(op, jax.numpy.zeros((0, 5, 2))).shape == (0, 3, 2)
