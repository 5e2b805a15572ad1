"""profile: the time of a step by layer, and a trace."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import DataError, TrainingError


def made():
    kcompile.utils.set_random_seed(0)
    x = layers.Input((64,), name="x")
    inner = kcompile.Sequential([layers.Input((256,)), layers.Dense(256, name="deep")], name="part")
    h = inner(layers.Dense(256, activation="relu", name="wide")(x))
    model = kcompile.Model(x, layers.Dense(3, activation="softmax", name="out")(h), name="made")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(512, 64)).astype("float32"), rng.integers(0, 3, 512)


def test_training(tmp_path, capsys):
    model, x, y = made()
    before = model.get_weights()
    found = model.profile(x, y, batch_size=256, steps=3, folder=tmp_path)
    rows = {row.layer: row for row in found.rows}
    assert {"wide", "part/deep", "optimizer"} <= set(rows)
    assert rows["part/deep"].forward > 0 and rows["part/deep"].backward > 0
    assert rows["optimizer"].forward > 0 and rows["optimizer"].backward == 0
    assert [row.total for row in found.rows] == sorted((r.total for r in found.rows), reverse=True)
    assert found.step > 0
    assert sum(row.total for row in found.rows) <= 1.001 * found.step
    assert found.trace.is_relative_to(tmp_path)
    with gzip.open(found.trace) as file:
        assert json.load(file)["traceEvents"]
    assert "part/deep" in capsys.readouterr().out
    for weight, array in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, array)
    assert model.optimizer.iterations == 0


def test_prediction(capsys):
    model, x, _ = made()
    found = model.profile(x, batch_size=128, verbose=False)
    assert capsys.readouterr().out == ""
    assert {"wide", "part/deep"} <= {row.layer for row in found.rows}
    assert all(row.backward == 0 for row in found.rows)
    model.profile(x, folder=found.trace.parent, verbose=False)  # a second one in the same folder


def test_refusals():
    model, x, y = made()
    fresh = kcompile.models.clone_model(model)
    with pytest.raises(TrainingError, match="not been compiled"):
        fresh.profile(x, y)
    with pytest.raises(DataError, match="arrays in memory"):
        model.profile(iter([(x, y)]))
