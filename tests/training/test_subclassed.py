"""Subclassed models: built by the first data, trained, saved and compiled like the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import ops
from kcompile.layers import Dense, Dropout
from kcompile.utils import set_random_seed

ROWS = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
LABELS = (ROWS.sum(axis=1) > 0).astype(np.int32)


class Classifier(kcompile.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = Dense(8, activation="relu")
        self.dropout = Dropout(0.2)
        self.classes = Dense(2, activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.classes(self.dropout(self.hidden(inputs), training=training))


class TwoTowers(kcompile.Model):
    """Takes a dict of inputs and returns a dict of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Dense(4), Dense(4)

    def call(self, inputs: Any) -> Any:
        left, right = self.left(inputs["left"]), self.right(inputs["right"])
        return {"product": ops.sum(left * right, -1, keepdims=True), "code": left}


def test_trains_saves_and_compiles(tmp_path: Path) -> None:
    set_random_seed(1)
    model = Classifier()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(ROWS, LABELS, epochs=60, batch_size=8, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    predicted = model.predict(ROWS, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    again = Classifier()
    again.build((None, 5))
    again.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(again.predict(ROWS, verbose=0), predicted)
    run = kcompile.compile(model, path=tmp_path / "m.onnx").run(ROWS)
    np.testing.assert_allclose(run["output"], predicted, rtol=1e-5, atol=1e-6)


def test_dicts_in_and_out() -> None:
    set_random_seed(2)
    model = TwoTowers()
    x = {"left": ROWS, "right": ROWS[:, :3]}
    y = {"product": ROWS[:, :1], "code": np.zeros((70, 4), np.float32)}
    model.compile("sgd", {"product": "mse", "code": "mse"})
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    predicted = model.predict(x, verbose=0)
    assert {name: value.shape for name, value in predicted.items()} == {
        "product": (70, 1),
        "code": (70, 4),
    }
    assert kcompile.compile(model).run(x).keys() == {"product", "code"}


def test_the_first_batch_decides_only_what_it_has_to() -> None:
    model = Classifier()
    model(ROWS[:3])
    assert model.output_types()[0][1].shape[1] == 2
    assert model.predict(ROWS, verbose=0).shape == (70, 2)
    with pytest.raises(kcompile.ir.errors.ShapeError, match="needs f32"):
        model.predict(ROWS[:, :4], verbose=0)
