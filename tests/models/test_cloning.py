"""Copies of models: the same configs and numbers of weights, and weights of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import SpecError
from kcompile.models import clone_model

X = np.random.default_rng(0).normal(size=(3, 4)).astype("f")


def _functional() -> Any:
    first, second = layers.Input((4,), name="first"), layers.Input((4,), name="second")
    shared = layers.Dense(4, activation="relu", name="shared")
    inner = kcompile.Sequential([layers.Input((4,)), layers.Dense(2)], name="inner")
    y = inner(kcompile.ops.add(shared(first), shared(second)))
    return kcompile.Model({"first": first, "second": second}, {"out": y}, name="whole")


def test_functional_models() -> None:
    model = _functional()
    copy = clone_model(model)
    assert copy.name == "whole" and [v.path for v in copy.weights] == [
        v.path for v in model.weights
    ]
    assert not {id(v) for v in copy.weights} & {id(v) for v in model.weights}
    copy.set_weights(model.get_weights())
    inputs = {"first": X, "second": 2 * X}
    np.testing.assert_array_equal(copy(inputs)["out"], model(inputs)["out"])


@pytest.mark.parametrize("built", [True, False])
def test_sequential_models(built: bool) -> None:
    first = [layers.Input((4,))] if built else []
    model = kcompile.Sequential([*first, layers.Dense(3), layers.Dense(2, name="last")])
    copy = clone_model(model)
    assert isinstance(copy, kcompile.Sequential) and copy.built == built
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    before = model(X)
    copy(X)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(X), before)


def test_functions_that_make_and_call_layers() -> None:
    model = _functional()
    wide = clone_model(
        model,
        clone_function=lambda layer: (
            layers.Dense(4, name=layer.name)
            if isinstance(layer, layers.Dense)
            else type(layer).from_config(layer.get_config())
        ),
        recursive=True,
    )
    assert wide.output_shape == {"out": (None, 4)}
    called = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(layer.name)
        return layer(*args, **kwargs)

    clone_model(model, call_function=call)
    assert called.count("shared") == 2


def test_models_of_ones_own_are_refused() -> None:
    class Own(kcompile.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(SpecError, match="neither"):
        clone_model(Own())
