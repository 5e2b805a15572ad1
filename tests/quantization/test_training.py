"""Quantization-aware training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import kcompile
from kcompile import layers
from kcompile.ir import ops
from kcompile.ir.errors import SpecError
from kcompile.models import Model
from kcompile.quantization import QuantizationAware, prepare


def _model() -> Model:
    kcompile.utils.set_random_seed(1)
    x = layers.Input((8, 8, 1), name="image")
    h = layers.Conv2D(6, 3, use_bias=False, name="conv")(x)
    h = layers.ReLU(name="relu")(layers.BatchNormalization(momentum=0.8, name="norm")(h))
    h = layers.ReLU(name="relu_2")(layers.DepthwiseConv2D(3, name="depthwise")(h))
    h = layers.Flatten(name="flat")(layers.MaxPooling2D(2, name="pool")(h))
    return kcompile.Model(x, layers.Dense(10, name="logits")(h), name="digits")


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32).reshape(-1, 8, 8, 1), y.astype(np.int32)


def _fit(model: Model, epochs: int) -> None:
    x, y = _digits()
    loss = kcompile.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kcompile.optimizers.Adam(3e-3), loss)
    model.fit(x[:1200], y[:1200], batch_size=64, epochs=epochs, verbose=0)


@pytest.fixture(scope="module")
def trained() -> tuple[Model, Model]:
    """In floats, and further with rounding."""
    model = _model()
    _fit(model, 6)
    prepared = prepare(model)
    _fit(prepared, 2)
    return model, prepared


def test_ranges_are_learnt(trained: tuple[Model, Model]) -> None:
    _, prepared = trained
    found: dict[str, Any] = {}
    for layer in prepared.layers:
        if isinstance(layer, QuantizationAware):
            found[layer.name] = float(np.asarray(layer.low)), float(np.asarray(layer.high))
    assert found.keys() == {"conv", "depthwise", "logits"}
    assert found["conv"] == (0, 1)
    assert all(low == 0 and high > 0.1 for low, high in found.values())


def test_the_file_has_the_learnt_ranges_and_the_accuracy(trained: tuple[Model, Model]) -> None:
    _, prepared = trained
    x, y = _digits()
    held_out = x[1200:], y[1200:]
    executable = kcompile.quantize(prepared, x[:50], evaluation=held_out)
    report = executable.report["quantization"]
    assert report["metric"] > 0.85 and report["loss"] < 0.01
    scales = {
        float(executable.graph.producers[node.inputs[1].name].op.value.array)
        for node in executable.graph.nodes
        if isinstance(node.op, ops.Quantize) and node.inputs[1] is not None
    }
    high = float(np.asarray(prepared.get_layer("depthwise").high))
    assert np.float32(1 / 255) in np.float32(sorted(scales))
    assert np.isclose(sorted(scales), high / 255, rtol=1e-5).any()
    assert not any(isinstance(node.op, ops.FakeQuantize) for node in executable.graph.nodes)
    # What was trained is nearly what runs: the model itself rounds already.
    expected = prepared.predict(held_out[0], verbose=0)
    actual = executable.run(held_out[0])["logits"]
    assert np.mean(expected.argmax(axis=1) == actual.argmax(axis=1)) > 0.99


def test_a_prepared_model_has_the_weights_of_the_model() -> None:
    model = _model()
    prepared = prepare(model)
    for layer in prepared.layers:
        inner = layer.layer if isinstance(layer, QuantizationAware) else layer
        for mine, others in zip(
            inner.get_weights(), model.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, others)


def test_what_cannot_be_prepared_is_refused() -> None:
    x = layers.Input((3,), name="x")
    with pytest.raises(SpecError, match="no layer to quantize"):
        prepare(kcompile.Model(x, layers.ReLU(name="relu")(x)))
    with pytest.raises(SpecError, match="LSTM is none of Conv1D"):
        QuantizationAware(layers.LSTM(3, name="lstm"), name="aware")
