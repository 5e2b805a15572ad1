"""Batch normalization and sums over channels in the form that training uses on the CPU."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kcompile.ir.ops import BatchNormTraining
from kcompile.runtimes.jax.channel_sums import channel_sums
from kcompile.runtimes.jax.table import LOWERINGS, training_table


@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 3), (2, 3, 4, 5), (2, 1, 3, 2, 3), (1, 1, 2)])
@pytest.mark.parametrize("operands", [1, 2, 3])
def test_gradients_are_those_of_jax(shape: tuple[int, ...], operands: int) -> None:
    """In float64, with gradients of the statistics too, which moving averages do not have."""
    op = BatchNormTraining(-1, 1e-3)
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        given = [jnp.asarray(rng.normal(size=s)) for s in (shape, shape[-1:], shape[-1:])]
        weights = [rng.normal(size=s) for s in (shape, shape[-1:], shape[-1:])]

        def run(lowering: Any) -> Any:
            def loss(*arrays: Any) -> Any:
                results = lowering(op, *arrays)
                return sum(jnp.sum(jnp.sin(r) * w) for r, w in zip(results, weights, strict=True))

            numbers = tuple(range(operands))
            return jax.jit(jax.value_and_grad(loss, numbers))(*given[:operands])

        actual = run(training_table("cpu")[BatchNormTraining])
        expected = run(LOWERINGS[BatchNormTraining])
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), actual, expected
        )


@pytest.mark.parametrize(("axis", "dtype"), [(1, np.float32), (-1, np.float16), (-1, jnp.bfloat16)])
def test_what_has_no_form_of_its_own_is_computed_as_by_default(axis: int, dtype: Any) -> None:
    op = BatchNormTraining(axis, 1e-3)
    x = jnp.asarray(np.random.default_rng(6).normal(size=(3, 4, 5)) * 300, dtype)
    actual = training_table("cpu")[BatchNormTraining](op, x)
    for result, expected in zip(actual, LOWERINGS[BatchNormTraining](op, x), strict=True):
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


def test_statistics_far_from_zero_keep_their_digits() -> None:
    x = (1e4 + np.random.default_rng(8).normal(size=(64, 16, 16, 3))).astype(np.float32)
    op = BatchNormTraining(-1, 1e-3)
    _, mean, variance = training_table("cpu")[BatchNormTraining](op, jnp.asarray(x))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, wide.var((0, 1, 2)), rtol=1e-4)


def test_sums_of_many_elements_lose_few_digits() -> None:
    """Added one by one in float32, 2**20 numbers near 1 lose four digits."""
    x = np.random.default_rng(9).uniform(0.5, 1.5, (64, 128, 128, 2)).astype(np.float32)
    np.testing.assert_allclose(channel_sums(jnp.asarray(x)), x.sum((0, 1, 2), float), rtol=2e-6)
    assert channel_sums(jnp.zeros((0, 4, 3))).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("dtype", "digits"), [(np.float16, 2**-11), (jnp.bfloat16, 2**-8)])
def test_sums_of_16_bits_are_rounded_once(dtype: Any, digits: float) -> None:
    x = jnp.asarray(np.random.default_rng(9).uniform(0, 2, (16, 40, 40, 2)), dtype)
    expected = np.asarray(x, np.float64).sum((0, 1, 2))
    actual = channel_sums(x)
    assert actual.dtype == dtype
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=digits)
