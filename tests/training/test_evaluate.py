"""`evaluate` and `predict` against Keras and against NumPy."""

import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers

X = np.random.default_rng(0).standard_normal((45, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 45)
WEIGHTS = np.random.default_rng(2).uniform(0.1, 2.0, 45)


def define(k):
    inputs = k.layers.Input((4,), name="x")
    hidden = k.layers.Dense(5, activation="tanh", kernel_regularizer="l2")(inputs)
    kind = k.layers.Dense(3, activation="softmax", name="kind")(hidden)
    size = k.layers.Dense(1, name="size")(k.layers.Dropout(0.5)(hidden))
    return k.Model(inputs, {"kind": kind, "size": size})


class Ours:
    layers, Model = layers, kcompile.Model


def pair(**options):
    ours, theirs = define(Ours), define(keras)
    ours.set_weights(theirs.get_weights())
    for model in (ours, theirs):
        model.compile(
            "sgd",
            loss={"kind": "sparse_categorical_crossentropy", "size": "mse"},
            metrics={"kind": ["accuracy"], "size": ["mae"]},
            weighted_metrics={"size": ["mae"]},
            **options,
        )
    return ours, theirs


TARGETS = {"kind": Y, "size": Y.astype(np.float64)[:, None]}


@pytest.mark.parametrize("batch_size", [None, 7, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate(batch_size, weighted):
    options = {"batch_size": batch_size, "verbose": 0}
    if weighted:
        options["sample_weight"] = {"kind": WEIGHTS, "size": WEIGHTS[::-1].copy()}
    results = [m.evaluate(X, TARGETS, return_dict=True, **options) for m in pair()]
    assert sorted(results[0]) == sorted(results[1])
    for name, expected in results[1].items():
        assert results[0][name] == pytest.approx(expected, rel=1e-5), name


def test_the_list_of_results_and_its_names():
    ours, theirs = pair()
    values = ours.evaluate(X, TARGETS, verbose=0)
    assert values == pytest.approx(theirs.evaluate(X, TARGETS, verbose=0), rel=1e-5)
    named = ours.evaluate(X, TARGETS, verbose=0, return_dict=True)
    assert ours.metrics_names == list(named)
    assert list(named.values()) == values


def test_a_single_output_gives_loss_and_metrics_in_order():
    model = kcompile.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mse", "mae"])
    loss, mse, mae = model.evaluate(X, Y, verbose=0)
    error = model.predict(X, verbose=0)[:, 0] - Y
    assert loss == pytest.approx(np.mean(error**2), rel=1e-5)
    assert mse == pytest.approx(loss, rel=1e-5)
    assert mae == pytest.approx(np.mean(np.abs(error)), rel=1e-5)


def test_a_loss_alone_is_a_number():
    model = kcompile.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    assert isinstance(model.evaluate(X, Y, verbose=0), float)
    assert model.test_on_batch(X, Y) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)


def test_steps_take_the_first_batches():
    ours, theirs = pair()
    options = {"batch_size": 10, "steps": 2, "verbose": 0}
    expected = theirs.evaluate(X, TARGETS, **options)
    assert ours.evaluate(X, TARGETS, **options) == pytest.approx(expected, rel=1e-5)
    assert ours.predict(X, **options)["size"].shape == (20, 1)


def test_evaluate_changes_no_weight_and_keeps_metrics():
    ours, _ = pair()
    before = ours.get_weights()
    values = ours.evaluate(X, TARGETS, verbose=0)
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(ours.metrics[0].result()) == pytest.approx(values[0], rel=1e-6)


@pytest.mark.parametrize("batch_size", [None, 8, 1000])
def test_predict_has_the_structure_of_the_outputs(batch_size):
    ours, theirs = pair()
    results = ours.predict(X, batch_size=batch_size, verbose=0)
    expected = theirs.predict(X, batch_size=batch_size, verbose=0)
    assert set(results) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(results[name], array, rtol=1e-5, atol=1e-6)
    single = ours.predict_on_batch({"x": X.tolist()})
    np.testing.assert_allclose(single["kind"], expected["kind"], rtol=1e-5, atol=1e-6)


def test_predict_needs_no_compile_and_follows_new_weights():
    model = kcompile.Sequential([layers.Input((4,)), layers.Dense(2, use_bias=False)])
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ model.get_weights()[0], rtol=1e-4)
    model.set_weights([np.ones((4, 2))])
    expected = np.repeat(X.sum(axis=1, keepdims=True), 2, axis=1)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_open_sizes_are_taken_from_the_data():
    inputs = layers.Input((None, 4))
    model = kcompile.Model(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    for length in (3, 5):
        x = np.ones((6, length, 4), np.float32)
        model.fit(x, np.ones((6, length, 1)), verbose=0)
        assert model.predict(x, verbose=0).shape == (6, length, 1)
