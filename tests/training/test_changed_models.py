"""Programs follow the model: layers added or taken off reach predict, evaluate and fit."""

import numpy as np
import pytest

import kcompile
from kcompile import layers

X = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
Y = np.arange(12) % 3


def softmax(logits):
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def logits_model():
    return kcompile.Sequential([layers.Input((4,)), layers.Dense(3)])


def test_predict_after_add_and_pop():
    model = logits_model()
    logits = model.predict(X, verbose=0)
    model.add(layers.Activation("softmax"))
    np.testing.assert_allclose(model.predict(X, verbose=0), softmax(logits), rtol=1e-5)
    model.pop()
    np.testing.assert_array_equal(model.predict(X, verbose=0), logits)


def test_predict_after_add_to_an_inner_model():
    inner = logits_model()
    model = kcompile.Sequential([layers.Input((4,)), inner])
    logits = model.predict(X, verbose=0)
    inner.add(layers.Activation("softmax"))
    np.testing.assert_allclose(model.predict(X, verbose=0), softmax(logits), rtol=1e-5)


def test_evaluate_after_add():
    model = logits_model()
    model.compile("sgd", "mse", metrics=["mae"])
    one_hot = np.eye(3)[Y]
    model.evaluate(X, one_hot, verbose=0)
    model.add(layers.Activation("softmax"))
    loss, mae = model.evaluate(X, one_hot, verbose=0)
    error = model.predict(X, verbose=0) - one_hot
    assert loss == pytest.approx(np.mean(error**2), rel=1e-5)
    assert mae == pytest.approx(np.mean(np.abs(error)), rel=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fit_after_a_layer_is_exchanged_trains_the_new_one(optimizer):
    model = kcompile.Sequential([layers.Input((4,)), layers.Dense(5), layers.Dense(3, name="out")])
    model.compile(optimizer, "mse")
    model.fit(X, np.eye(3)[Y], verbose=0)
    model.pop()
    model.add(layers.Dense(2, name="out"))
    before = model.get_weights()
    model.fit(X, np.eye(2)[Y % 2], verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert not np.array_equal(old, new)


def test_random_numbers_outside_training_differ_from_call_to_call():
    def predictions():
        kcompile.utils.set_random_seed(3)
        x = layers.Input((4,))
        model = kcompile.Model(x, layers.Dropout(0.3)(x, training=True))
        model.compile("sgd", "mse")
        return [model.predict(X, batch_size=5, verbose=0) for _ in range(3)], [
            model.evaluate(X, X, verbose=0) for _ in range(2)
        ]

    (first, losses), (again, losses_again) = predictions(), predictions()
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])
    assert losses[0] != losses[1]
    assert losses == losses_again
    np.testing.assert_array_equal(first, again)
