"""memory_report: an estimate that is near what XLA says it needs."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import DataError, TrainingError
from kcompile.losses import SparseCategoricalCrossentropy
from tests.training.test_remat import attentive, convolutional, temporary_bytes


def report(make, remat=False, **options):
    model = make()
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=True), remat=remat)
    return model.memory_report(batch_size=64, **options)


@pytest.mark.parametrize("make", [convolutional, attentive])
@pytest.mark.parametrize("remat", [False, True])
def test_activations_are_near_those_of_xla(make, remat):
    found = report(make, remat)
    needed = temporary_bytes(make, remat)
    assert 0.4 * needed < found.activations < 2.5 * needed


def test_parts():
    model = kcompile.Sequential(
        [layers.Input((20,)), layers.Dense(30, name="wide"), layers.Dense(5, name="narrow")]
    )
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    found = model.memory_report(batch_size=10)
    parameters, trained = 4 * (20 * 30 + 30 + 30 * 5 + 5), 4 * (30 * 5 + 5)
    assert found.parameters == parameters
    assert found.gradients == trained
    assert 2 * trained <= found.optimizer <= 2 * trained + 16
    assert found.inputs == 4 * 10 * 20
    assert dict(found.layers) == {"wide": 4 * 10 * 30, "narrow": 4 * 10 * 5}
    parts = found.parameters + found.gradients + found.optimizer + found.activations + found.inputs
    assert found.total == parts
    assert "wide" in str(found) and "optimizer" in str(found)


def test_it_grows_with_the_batch_and_shrinks_with_remat():
    model = attentive()
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=True))
    small, large = (model.memory_report(batch_size=rows).activations for rows in (16, 64))
    assert 3 < large / small < 5
    assert report(attentive, remat=True).activations < 0.6 * large


def test_open_sizes_need_numbers():
    x = layers.Input((None, 4), name="x")
    model = kcompile.Model(x, layers.LSTM(6, name="lstm")(x))
    with pytest.raises(TrainingError, match="not been compiled"):
        model.memory_report()
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="has no number") as caught:
        model.memory_report()
    size = str(caught.value).split("'")[1]
    short, long = (model.memory_report(sizes={size: n}).activations for n in (10, 40))
    assert 2 < long / short < 6
    assert np.isfinite(long)
