"""What quantization costs, and weights of 16 bits."""

from __future__ import annotations

import math

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import DataError
from kcompile.quantization.losses import accuracy, relative_error

ONES = np.ones((4, 2), np.float32)


@pytest.mark.parametrize("names", ["pq", "qp"])
def test_an_output_that_is_no_number_is_the_worst(names: str) -> None:
    wanted = dict.fromkeys(names, ONES)
    actual = {"p": ONES * 1.1, "q": ONES * np.nan}
    assert math.isnan(relative_error(actual, wanted))
    assert relative_error({"p": ONES * 1.1}, {"p": ONES}) == pytest.approx(0.1)


@pytest.mark.parametrize("labels", [(4, 3), (1, 2), (3,)])
def test_labels_that_do_not_fit(labels: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="accuracy of outputs"):
        accuracy(ONES, np.zeros(labels))


def two() -> kcompile.Model:
    kcompile.utils.set_random_seed(0)
    x = layers.Input((32,), name="x")
    y = layers.Dense(32, activation="relu", name="a")(x)
    return kcompile.Model(x, layers.Dense(32, name="b")(y), name="two")


X = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)


@pytest.mark.parametrize("mode", ["float16", "bfloat16"])
def test_excluded_layers_keep_their_weights(mode: str) -> None:
    executable = kcompile.quantize(two(), X, mode=mode, exclude=["a"])
    names = {value.name for node in executable.graph.nodes for value in node.outputs}
    assert f"b/kernel/{mode}" in names
    assert f"a/kernel/{mode}" not in names
    assert executable.report["quantization"]["layers"] == ["b"]


def test_a_bound_on_the_loss_of_16_bits() -> None:
    free = kcompile.quantize(two(), X, mode="bfloat16").report["quantization"]
    bound = free["relative_error"] * 0.9
    held = kcompile.quantize(two(), X, mode="bfloat16", max_loss=bound).report["quantization"]
    assert held["relative_error"] <= bound
    assert held["excluded"]


def test_a_recurrent_layer_has_16_bits() -> None:
    x = layers.Input((5, 16), name="x")
    model = kcompile.Model(x, layers.LSTM(16, name="lstm")(x), name="steps")
    data = np.random.default_rng(0).normal(size=(8, 5, 16)).astype(np.float32)
    found = kcompile.quantize(model, data, mode="float16").report["quantization"]
    assert found["layers"]
    assert 0 < found["relative_error"] < 1e-2


def test_a_batch_that_happens_to_be_the_usual_one() -> None:
    executable = kcompile.quantize(two(), X, sizes={"batch": 32})
    assert executable.run(X[:32])["b"].shape == (32, 32)
