"""Embedding tables whose rows alone get gradients, and lazy Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile as K
from kcompile.ir.errors import NonFiniteLossError, SpecError
from kcompile.runtimes.jax import table_updates

NUM_ROWS = 50


def _model(**options: Any) -> K.Model:
    """Two lookups of one table, with indices of which some are equal."""
    inputs = [K.Input((size,), dtype="int32", name=name) for name, size in (("a", 3), ("b", 2))]
    table = K.layers.Embedding(NUM_ROWS, 4, name="table", **options)
    x = K.layers.Concatenate(axis=1, name="both")([table(i) for i in inputs])
    x = K.layers.Flatten(name="flat")(x)
    return K.Model(inputs, K.layers.Dense(1, name="head")(x), name="lookups")


def _data() -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    indices = [rng.integers(0, 12, (24, size)).astype(np.int32) for size in (3, 2)]
    return indices, rng.normal(size=(24, 1)).astype(np.float32)


def _trained(optimizer: Any, model: Any = None, **options: Any) -> list[np.ndarray]:
    K.utils.set_random_seed(5)
    model = model or _model()
    model.compile(optimizer=optimizer, loss="mse")
    x, y = _data()
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, **options)
    return [np.asarray(w) for w in model.get_weights()]


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether tables are updated by rows."""
    return lambda wanted: monkeypatch.setattr(table_updates, "_LEAST_SIZE", 0 if wanted else 2**62)


def test_rows_are_updated_as_the_whole_table_would_be(by_rows: Callable[[bool], None]) -> None:
    results = []
    for wanted in (True, False):
        by_rows(wanted)
        results.append(_trained(K.optimizers.Adam(0.1)))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: K.optimizers.Adam(0.1, amsgrad=True),
        lambda: K.optimizers.Adam(0.1, clipnorm=0.1),
        lambda: K.optimizers.AdamW(0.1),
        lambda: K.optimizers.SGD(0.1),
        lambda: K.optimizers.Adam(0.1, use_ema=True),
    ],
)
def test_other_optimizers_get_gradients_of_the_whole_table(
    by_rows: Callable[[bool], None], optimizer: Callable[[], Any]
) -> None:
    results = []
    for wanted in (True, False):
        by_rows(wanted)
        results.append(_trained(optimizer()))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"embeddings_constraint": K.constraints.MaxNorm(0.5)},
        {"embeddings_regularizer": K.regularizers.L2(0.1)},
    ],
)
def test_tables_that_something_else_reads_stay_whole(
    by_rows: Callable[[bool], None], options: dict[str, Any]
) -> None:
    results = []
    for wanted in (True, False):
        by_rows(wanted)
        K.utils.set_random_seed(6)
        results.append(_trained(K.optimizers.Adam(0.1), _model(**options)))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_lazy_adam_changes_looked_up_rows_alone() -> None:
    """By the formula, step by step, with gradients by finite differences of a linear model."""
    indices = np.array([[1, 4], [4, 4], [2, 1]], np.int32)
    targets = np.array([[1.0], [-2.0], [0.5]], np.float32)
    K.utils.set_random_seed(7)
    inputs = K.Input((2,), dtype="int32", name="i")
    x = K.layers.Embedding(6, 1, name="table")(inputs)
    x = K.layers.Flatten(name="flat")(x)
    head = K.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="head")
    head.trainable = False
    model = K.Model(inputs, head(x), name="sums")
    model.compile(optimizer=K.optimizers.Adam(0.1, lazy=True), loss="mse")
    expected = np.asarray(model.get_weights()[0], np.float64)
    m, v = np.zeros_like(expected), np.zeros_like(expected)
    model.fit(indices, targets, batch_size=1, epochs=2, shuffle=False, verbose=0)
    for step, (ids, target) in enumerate(list(zip(indices, targets, strict=True)) * 2, start=1):
        slope = 2 * (expected[ids].sum() - target[0])
        for row in set(ids.tolist()):
            gradient = slope * np.sum(ids == row)
            m[row] = 0.9 * m[row] + 0.1 * gradient
            v[row] = 0.999 * v[row] + 0.001 * gradient**2
            alpha = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            expected[row] -= alpha * m[row] / (np.sqrt(v[row]) + 1e-7)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-5)


def test_lazy_and_plain_adam_agree_where_every_row_is_looked_up() -> None:
    indices = np.stack([np.random.default_rng(i).permutation(6) for i in range(4)]).astype("int32")
    weights = []
    for lazy in (True, False):
        K.utils.set_random_seed(8)
        layers = [K.layers.Embedding(6, 3, name="t"), K.layers.Flatten(), K.layers.Dense(1)]
        model = K.Sequential([K.Input((6,), dtype="int32"), *layers], name="all")
        model.compile(optimizer=K.optimizers.Adam(0.05, lazy=lazy), loss="mse")
        model.fit(indices, np.ones((4, 1), "float32"), batch_size=2, epochs=4, verbose=0)
        weights.append(model.get_weights())
    for actual, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lazy", [True, False])
def test_a_step_that_is_not_finite_changes_no_row(
    by_rows: Callable[[bool], None], lazy: bool
) -> None:
    by_rows(True)
    K.utils.set_random_seed(9)
    model = _model()
    model.compile(optimizer=K.optimizers.Adam(0.1, lazy=lazy), loss="mse")
    x, y = _data()
    model.fit(x, y, batch_size=8, verbose=0)
    before = model.get_weights()
    with pytest.raises(NonFiniteLossError):
        model.fit(x, np.full_like(y, 1e30), batch_size=8, verbose=0)
    for actual, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_an_index_outside_of_the_table_is_reported() -> None:
    model = _model()
    model.compile(optimizer=K.optimizers.Adam(0.1, lazy=True), loss="mse")
    x, y = _data()
    with pytest.raises(NonFiniteLossError):
        model.fit([x[0] + NUM_ROWS, x[1]], y, batch_size=8, verbose=0)


@pytest.mark.parametrize(
    "options",
    [{"amsgrad": True}, {"weight_decay": 0.1}, {"clipvalue": 1.0}, {"loss_scale_factor": 2.0}],
)
def test_lazy_goes_without_what_needs_whole_gradients(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(options))):
        K.optimizers.Adam(lazy=True, **options)
    with pytest.raises(SpecError, match="lazy"):
        K.optimizers.LossScaleOptimizer(K.optimizers.Adam(lazy=True))
    with pytest.raises(SpecError, match="lazy"):
        K.optimizers.Adam(lazy=True).build(_model().trainable_variables)


def test_lazy_without_tables_says_that_it_changes_nothing() -> None:
    model = K.Sequential([K.Input((2,)), K.layers.Dense(1, name="d")], name="dense")
    model.compile(optimizer=K.optimizers.Adam(lazy=True), loss="mse")
    with pytest.warns(UserWarning, match="lazy=True changes nothing"):
        model.fit(np.ones((4, 2), "float32"), np.ones((4, 1), "float32"), verbose=0)


def test_lazy_is_in_the_config_only_if_it_is_set() -> None:
    assert "lazy" not in K.optimizers.Adam().get_config()
    config = K.optimizers.Adam(lazy=True).get_config()
    assert K.optimizers.Adam.from_config(config).lazy
