"""What Keras writes in a way of its own: bfloat16, augmentation's mode, a layer in a layer."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import kcompile
from kcompile.models import load_model


def test_weights_of_bfloat16_are_read_as_keras_wrote_them(tmp_path: Path) -> None:
    inputs = keras.Input((4,), name="x", dtype="bfloat16")
    theirs = keras.Model(inputs, keras.layers.Dense(3, dtype="bfloat16", name="dense")(inputs))
    theirs.save(tmp_path / "m.keras")
    ours = load_model(tmp_path / "m.keras")
    for our, their in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert our.dtype == their.dtype
        np.testing.assert_array_equal(our.astype(np.float32), their.astype(np.float32))


def test_keras_reads_weights_of_bfloat16(tmp_path: Path) -> None:
    dense = kcompile.layers.Dense(3, dtype="bfloat16", name="dense")
    ours = kcompile.Sequential([kcompile.Input((4,)), dense])
    ours.save(tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    for ours_, theirs_, again_ in zip(
        ours.get_weights(), theirs.get_weights(), again.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours_.astype(np.float32), theirs_.astype(np.float32))
        np.testing.assert_array_equal(ours_.astype(np.float32), again_.astype(np.float32))


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.RandomFlip(name="layer"),
        keras.layers.RandomRotation(0.2, name="layer"),
        keras.layers.RandomZoom(0.2, name="layer"),
        keras.layers.RandomContrast(0.2, name="layer"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_augmentation_from_a_file_leaves_predictions_alone(
    tmp_path: Path, layer: keras.Layer
) -> None:
    inputs = keras.Input((6, 6, 1), name="x")
    keras.Model(inputs, layer(inputs)).save(tmp_path / "m.keras")
    ours = load_model(tmp_path / "m.keras")
    # So many that drawing "leave it as it is" for each of them does not happen.
    images = np.random.default_rng(0).uniform(size=(64, 6, 6, 1)).astype(np.float32)
    np.testing.assert_array_equal(ours.predict(images, verbose=0), images)
    assert not kcompile.compile(ours).graph.updates
    assert not np.array_equal(ours(images, training=True), images)


def test_a_layer_of_texts_survives_a_file(tmp_path: Path) -> None:
    layer = kcompile.layers.TextVectorization(
        vocabulary=["the", "cat"], output_sequence_length=4, name="layer"
    )
    inputs = kcompile.Input((1,), dtype="string", name="x")
    ours = kcompile.Model(inputs, layer(inputs))
    ours.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    texts = np.array([["the dog"], ["cat the cat"]], object)
    run, expected = (kcompile.compile(model).run for model in (again, ours))
    np.testing.assert_array_equal(*(next(iter(f({"x": texts}).values())) for f in (run, expected)))
