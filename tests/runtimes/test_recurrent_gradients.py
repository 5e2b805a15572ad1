"""Recurrent layers in the form that training uses on the CPU, against JAX's own gradients."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kcompile.ir.ops import Gru, Lstm, SimpleRnn
from kcompile.runtimes.jax.table import LOWERINGS, training_table

N, T, C, H = 3, 5, 4, 6


def _operands(op: Any, *, has_mask: bool, has_states: bool) -> list[Any]:
    rng = np.random.default_rng(11)
    gates = op.num_gates
    bias = (2, gates * H) if isinstance(op, Gru) and op.reset_after else (gates * H,)
    shapes = [(N, T, C), (C, gates * H), (H, gates * H), bias]
    if op.time_major:
        shapes[0] = (T, N, C)
    arrays: list[Any] = [rng.normal(size=shape) for shape in shapes]
    states = [rng.normal(size=(N, H)) if has_states else None for _ in range(op.num_states)]
    mask = rng.integers(0, 2, (N, T)).astype(bool) if has_mask else None
    return [*arrays, *states, mask]


def _assert_same_gradients(op: Any, operands: list[Any], rtol: float = 1e-9) -> None:
    """In float64, of all results and for all operands that are numbers."""
    numbers = tuple(
        i for i, a in enumerate(operands) if a is not None and np.issubdtype(a.dtype, np.floating)
    )
    with jax.enable_x64(True):

        def run(lowering: Any) -> Any:
            def loss(*arrays: Any) -> Any:
                results = lowering(op, *arrays)
                return sum(jnp.sum(jnp.sin(r * (i + 1))) for i, r in enumerate(results))

            return jax.jit(jax.value_and_grad(loss, numbers))(*operands)

        actual, expected = run(training_table("cpu")[type(op)]), run(LOWERINGS[type(op)])
    compare = functools.partial(np.testing.assert_allclose, rtol=rtol, atol=rtol)
    jax.tree.map(compare, actual, expected)


OPS = [
    Lstm(),
    Lstm("relu", "hard_sigmoid", reverse=True, zero_masked=True),
    Lstm(time_major=True),
    Gru(reset_after=True),
    Gru("softsign", reset_after=True, reverse=True),
    Gru(reset_after=False),
    SimpleRnn(),
    SimpleRnn("linear", reverse=True, zero_masked=True, time_major=True),
]


@pytest.mark.parametrize(
    ("op", "has_mask", "has_states"), list(itertools.product(OPS, [False, True], [False, True]))
)
def test_gradients_are_those_of_jax(op: Any, has_mask: bool, has_states: bool) -> None:
    _assert_same_gradients(op, _operands(op, has_mask=has_mask, has_states=has_states))


@pytest.mark.parametrize("op", [Lstm(), Gru(reset_after=True), SimpleRnn()])
def test_dropped_gates_have_the_gradients_of_jax(op: Any) -> None:
    rng = np.random.default_rng(12)
    factors = [rng.integers(0, 2, (N, op.num_gates, size)) * 2.0 for size in (C, H)]
    operands = _operands(op, has_mask=False, has_states=False)
    _assert_same_gradients(op, [*operands, *factors])
    _assert_same_gradients(op, [*operands, factors[0]])
