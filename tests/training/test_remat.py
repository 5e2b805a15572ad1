"""remat: the same training from less memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import SpecError
from kcompile.losses import SparseCategoricalCrossentropy
from kcompile.runtimes.jax.rematerialization import plan
from kcompile.training import programs
from kcompile.training.given import Given


def convolutional() -> Any:
    x = inputs = layers.Input((16, 16, 3), name="x")
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    for number in range(6):
        y = layers.Conv2D(8, 3, padding="same", name=f"conv{number}")(x)
        y = layers.BatchNormalization(name=f"norm{number}")(y)
        y = layers.Dropout(0.1, seed=number, name=f"drop{number}")(y)
        x = layers.Add(name=f"add{number}")([x, layers.ReLU(name=f"relu{number}")(y)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return kcompile.Model(inputs, layers.Dense(10, name="out")(x), name="convolutional")


def attentive() -> Any:
    x = inputs = layers.Input((24, 16), name="x")
    for number in range(4):
        y = layers.MultiHeadAttention(2, 8, seed=number, name=f"attention{number}")(x, x)
        x = layers.LayerNormalization(name=f"norm{number}")(layers.Add(name=f"add{number}")([x, y]))
        y = layers.Dense(64, activation="gelu", name=f"wide{number}")(x)
        y = layers.Dense(16, name=f"narrow{number}")(y)
        x = layers.Add(name=f"sum{number}")([x, y])
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return kcompile.Model(inputs, layers.Dense(10, name="out")(x), name="attentive")


def recurrent() -> Any:
    x = inputs = layers.Input((12, 6), name="x")
    for number in range(3):
        x = layers.LSTM(8, return_sequences=True, seed=number, name=f"lstm{number}")(x)
    x = layers.LSTM(8, name="last")(x)
    return kcompile.Model(inputs, layers.Dense(10, name="out")(x), name="recurrent")


def data_for(model: Any, rows: int = 64) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, *model.input_shape[1:])).astype("float32")
    return x, rng.integers(0, 10, rows)


def trained(make: Any, remat: Any) -> tuple[list[float], list[Any]]:
    kcompile.utils.set_random_seed(0)
    model = make()
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=True), remat=remat)
    history = model.fit(*data_for(model), batch_size=16, epochs=2, verbose=0).history
    return history["loss"], model.get_weights()


def temporary_bytes(make: Any, remat: Any) -> int:
    """What XLA says that a step needs besides its arguments."""
    model = make()
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=True), remat=remat)
    trainer = model.trainer
    x, y = data_for(model)
    data, sizes = trainer.prepare(Given("fit", x, y, None, None, len(x)))
    program = trainer.program(programs.signature(data, sizes, training=True))
    weights = {name: v.array for name, v in model.named_weights().items()}
    lowered = program.lowered(weights, programs.graph_arrays(data), (2, len(x)))[-1]
    return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("make", [convolutional, attentive, recurrent])
def test_the_same_numbers(make):
    expected_loss, expected = trained(make, False)
    loss, weights = trained(make, True)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    for received, weight in zip(weights, expected, strict=True):
        np.testing.assert_allclose(received, weight, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("make", [convolutional, attentive])
def test_less_memory(make):
    assert temporary_bytes(make, True) < 0.7 * temporary_bytes(make, False)


def test_named_layers():
    names = ["conv1", "norm1", "drop1", "relu1"]
    expected_loss, _ = trained(convolutional, False)
    loss, _ = trained(convolutional, names)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    graph = convolutional().graph(training=True)
    segments = plan(graph, names)
    again = {node.source for s in segments if s.is_recomputed for node in s.nodes}
    assert again == set(names)
    assert [node for segment in segments for node in segment.nodes] == list(graph.nodes)


def test_segments_are_the_whole_graph():
    graph = attentive().graph(training=True)
    segments = plan(graph, True)
    assert len(segments) > 2
    assert [node for segment in segments for node in segment.nodes] == list(graph.nodes)
    assert not segments[-1].is_recomputed
    known = {entry.name for entry in graph.inputs}
    for segment in segments:
        assert known.issuperset(segment.inputs)
        known.update(segment.outputs)
    assert known.issuperset(output.value.name for output in graph.outputs)


def test_refusals():
    model = convolutional()
    with pytest.raises(SpecError, match="remat is True, False or a list"):
        model.compile("adam", "mse", remat="conv1")
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=True), remat=["conv9"])
    with pytest.raises(SpecError, match="conv9"):
        model.fit(*data_for(model), verbose=0)

    class Own(kcompile.Model):
        def train_step(self, data):
            raise AssertionError

    with pytest.raises(NotImplementedError, match="train_step"):
        Own().compile("adam", "mse", remat=True)
