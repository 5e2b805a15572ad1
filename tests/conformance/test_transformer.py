"""A transformer block: three training steps and the exported file against Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile

TIME, WIDTH = 6, 8


def make(k: Any, length: int | None, causal: bool) -> Any:
    layers = k.layers
    x = k.Input((length, WIDTH), name="x")
    y = layers.LayerNormalization(name="norm_1")(x)
    y = layers.MultiHeadAttention(2, 4, name="attention")(y, y, use_causal_mask=causal)
    x1 = layers.Add(name="residual_1")([x, y])
    y = layers.LayerNormalization(name="norm_2")(x1)
    y = layers.Dense(16, activation="gelu", name="wide")(y)
    y = layers.Dense(WIDTH, name="narrow")(y)
    y = layers.Add(name="residual_2")([x1, y])
    return k.Model(x, layers.Dense(3, name="logits")(layers.RMSNormalization(name="norm_3")(y)))


def pair(length: int | None, causal: bool) -> tuple[Any, Any]:
    ours, theirs = make(kcompile, length, causal), make(keras, length, causal)
    rng = np.random.default_rng(0)
    theirs.set_weights([rng.uniform(-0.5, 0.5, w.shape).astype("f") for w in theirs.weights])
    ours.set_weights(theirs.get_weights())
    return ours, theirs


@pytest.mark.parametrize(("length", "causal"), [(TIME, False), (None, True)])
def test_three_training_steps_equal_keras(length: int | None, causal: bool) -> None:
    ours, theirs = pair(length, causal)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, TIME, WIDTH)).astype("f")
    y = rng.normal(size=(12, TIME, 3)).astype("f")
    losses = []
    for k, model in ((kcompile, ours), (keras, theirs)):
        model.compile(optimizer=k.optimizers.SGD(0.1, momentum=0.9), loss="mse")
        history = model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for variable, weight in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(
            variable.numpy(), weight.numpy(), 1e-5, 1e-5, err_msg=variable.path
        )


def test_the_exported_file_equals_keras(tmp_path: Path) -> None:
    ours, theirs = pair(None, True)
    executable = kcompile.compile(ours, path=tmp_path / "block.onnx")
    assert executable.report["ops"]["LayerNormalization"] == 2
    for batch, length in ((1, 1), (3, 7)):
        x = np.random.default_rng(batch).normal(size=(batch, length, WIDTH)).astype("f")
        (found,) = executable.run({"x": x}).values()
        np.testing.assert_allclose(found, np.asarray(theirs(x)), 1e-5, 1e-5)


def test_weights_go_both_ways(tmp_path: Path) -> None:
    ours, theirs = pair(TIME, False)
    path = str(tmp_path / "m.weights.h5")
    x = np.random.default_rng(3).normal(size=(2, TIME, WIDTH)).astype("f")
    expected = np.asarray(theirs(x))
    theirs.save_weights(path)
    other = make(kcompile, TIME, False)
    other.load_weights(path)
    np.testing.assert_allclose(np.asarray(other(x)), expected, 1e-5, 1e-5)
    back = str(tmp_path / "back.weights.h5")
    ours.save_weights(back)
    again = make(keras, TIME, False)
    again.load_weights(back)
    np.testing.assert_allclose(np.asarray(again(x)), expected, 1e-5, 1e-5)


def test_values_of_another_width_than_keys_equal_numpy() -> None:
    """Keras 3.15.1 refuses `value_dim` unlike `key_dim` on JAX, so the equations are the judge."""
    rng = np.random.default_rng(0)
    query, value = rng.normal(size=(2, 3, 4)).astype("f"), rng.normal(size=(2, 5, 6)).astype("f")
    layer = kcompile.layers.MultiHeadAttention(2, key_dim=3, value_dim=5)
    layer(query, value)
    layer.set_weights([rng.normal(size=w.shape).astype("f") for w in layer.get_weights()])
    wq, bq, wk, bk, wv, bv, wo, bo = layer.get_weights()
    q, k, v = (
        np.einsum("ntc,chd->nthd", x, w) + b
        for x, w, b in ((query, wq, bq), (value, wk, bk), (value, wv, bv))
    )
    scores = np.exp(np.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(3))
    mixed = np.einsum("nhqk,nkhd->nqhd", scores / scores.sum(-1, keepdims=True), v)
    expected = np.einsum("nqhd,hdc->nqc", mixed, wo) + bo
    np.testing.assert_allclose(layer(query, value), expected, rtol=1e-4, atol=1e-5)
