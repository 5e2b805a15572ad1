"""Every metric with default arguments runs in `evaluate`, where the batch size is symbolic."""

import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers, metrics
from tests.metrics.arguments import arguments_of

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
NUMBERS = np.arange(20) % 7
ONE_HOT = np.eye(7, dtype=np.float32)[NUMBERS]
#: Not comparable: what they are given first is the target, which is not measured against anything.
OF_VALUES = ("Mean", "Sum")


def evaluated(k, name, weights, labels):
    model = k.Sequential([k.layers.Input((4,)), k.layers.Dense(7, activation="softmax")])
    if weights is not None:
        model.set_weights(weights)
    loss = "sparse_categorical_crossentropy" if labels.ndim < 2 or labels.shape[1] == 1 else "mse"
    model.compile("sgd", loss, metrics=[getattr(k.metrics, name)(**arguments_of(name))])
    return model.evaluate(X, labels, batch_size=8, verbose=0)[1], model.get_weights()


class Ours:
    layers, metrics, Sequential = layers, metrics, kcompile.Sequential


# Keras asks for int64 in its confusion matrix.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
@pytest.mark.parametrize("name", [name for name in metrics.METRICS if name not in OF_VALUES])
def test_every_metric(name):
    labels = NUMBERS if name.startswith("Sparse") else ONE_HOT
    value, weights = evaluated(Ours, name, None, labels)
    expected, _ = evaluated(keras, name, weights, labels)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OF_VALUES)
def test_reductions_run(name):
    value, _ = evaluated(Ours, name, None, ONE_HOT)
    assert np.isfinite(value)


def test_top_k_of_a_column_of_labels():
    value, weights = evaluated(Ours, "SparseTopKCategoricalAccuracy", None, NUMBERS[:, None])
    expected, _ = evaluated(keras, "SparseTopKCategoricalAccuracy", weights, NUMBERS[:, None])
    assert value == pytest.approx(expected)
