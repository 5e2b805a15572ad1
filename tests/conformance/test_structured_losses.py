"""Circle and CTC, which look at whole batches and sequences, against Keras."""

import json

import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers, losses, ops
from kcompile.ir.errors import ShapeError

RANDOM = np.random.default_rng(0)
EMBEDDINGS = RANDOM.normal(size=(6, 3)).astype("f")
EMBEDDINGS /= np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
CLASSES = np.array([0, 1, 0, 2, 1, 1])
#: A label twice in a row, padding, as many labels as times, no label.
LABELS = np.array([[1, 2, 2, 0], [3, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
LOGITS = RANDOM.normal(size=(4, 7, 5)).astype("f")


class Ours:
    layers, losses, Sequential = layers, losses, kcompile.Sequential


CIRCLE = [{}, {"gamma": 10.0, "margin": 0.2}, {"remove_diagonal": False}]


@pytest.mark.parametrize("weight", [None, np.arange(6, dtype="f")])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
@pytest.mark.parametrize("arguments", CIRCLE)
def test_circle(arguments, reduction, weight):
    ours, theirs = (k.losses.Circle(**arguments, reduction=reduction) for k in (Ours, keras))
    for labels in (CLASSES, CLASSES[:, None]):
        expected = theirs(labels, EMBEDDINGS, weight)
        np.testing.assert_allclose(ours(labels, EMBEDDINGS, weight), expected, 1e-5, 1e-5)


def test_circle_with_references():
    arguments = (CLASSES[:4], EMBEDDINGS[:4], CLASSES, EMBEDDINGS, False, 20.0, 0.3)
    expected = keras.losses.circle(*arguments)
    np.testing.assert_allclose(losses.circle(*arguments), expected, 1e-5, 1e-5)


@pytest.mark.parametrize(
    ("label_lengths", "times"), [([3, 2, 4, 0], [7, 5, 7, 3]), ([1, 1, 2, 1], [1, 2, 7, 7])]
)
def test_ctc_loss_of_lengths(label_lengths, times):
    arguments = (LABELS, LOGITS, np.array(label_lengths), np.array(times))
    np.testing.assert_allclose(ops.ctc_loss(*arguments), keras.ops.ctc_loss(*arguments), 1e-5)


def test_ctc_with_weights():
    weight = np.array([1.0, 0.0, 2.0, 0.5], "f")
    for given in (None, weight):
        expected = keras.losses.CTC()(LABELS, LOGITS, given)
        np.testing.assert_allclose(losses.CTC()(LABELS, LOGITS, given), expected, 1e-5)


@pytest.mark.parametrize("merge_repeated", [True, False])
def test_greedy_decoding(merge_repeated):
    logits = np.round(LOGITS * 2)
    arguments = (logits, np.array([7, 5, 1, 7]), "greedy", 100, 1, merge_repeated)
    ours, theirs = ops.ctc_decode(*arguments), keras.ops.ctc_decode(*arguments)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ctc", "circle"])
def test_training(loss):
    random = np.random.default_rng(1)
    x = random.normal(size=(8, 7, 3)).astype("f")
    y = random.integers(1, 4, (8, 3))
    if loss == "circle":
        x, y = x[:, 0], y[:, 0]
    histories, weights = [], None
    for k in (Ours, keras):
        model = k.Sequential([k.layers.Input(x.shape[1:]), k.layers.Dense(5)])
        if loss == "circle":
            model.add(k.layers.UnitNormalization())
        if weights is not None:
            model.set_weights(weights)
        weights = model.get_weights() if weights is None else weights
        model.compile("sgd", loss)
        history = model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        histories.append(history.history["loss"])
    np.testing.assert_allclose(histories[0], histories[1], 1e-4)


@pytest.mark.parametrize(("name", "arguments"), [("CTC", {}), *(("Circle", a) for a in CIRCLE)])
def test_configs_go_both_ways(name, arguments):
    ours, theirs = (getattr(k.losses, name)(**arguments) for k in (Ours, keras))
    config = json.loads(json.dumps(losses.serialize(ours)))
    assert config == json.loads(json.dumps(keras.losses.serialize(theirs)))
    assert losses.deserialize(config).get_config() == ours.get_config()
    assert type(keras.losses.deserialize(config)) is type(theirs)


def test_refusals():
    with pytest.raises(NotImplementedError, match="beam_search"):
        ops.ctc_decode(LOGITS, np.array([7, 7, 7, 7]), "beam_search")
    with pytest.raises(ShapeError, match="ctc_loss: needs"):
        ops.ctc_loss(LABELS[0], LOGITS, np.array([1]), np.array([1]))
