"""Architecture JSON of layers that hold layers, models, functions and vocabularies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import from_json, to_json
from kcompile.ir.errors import FormatError, KCompileError, SpecError
from kcompile.ir.printer import print_graph
from tests.formats.models import assert_same_outputs

Config = dict[str, Any]


def images_in_time(k: Any) -> Any:
    """A sequential model applied to each step."""
    x = k.Input((3, 5, 5, 2), name="x")
    convolution = k.layers.Conv2D(2, 3, kernel_constraint="max_norm", kernel_regularizer="l2")
    inner = k.Sequential([k.Input((5, 5, 2)), convolution, k.layers.Flatten()], name="inner")
    return k.Model(x, k.layers.LSTM(3)(k.layers.TimeDistributed(inner)(x)))


def vectors_in_time(k: Any) -> Any:
    """A functional model applied to each step."""
    x, step = k.Input((3, 4), name="x"), k.Input((4,))
    inner = k.Model(step, k.layers.Dense(2)(step), name="inner")
    return k.Model(x, k.layers.GRU(3)(k.layers.TimeDistributed(inner)(x)))


def activation_layer(k: Any) -> Any:
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.Dense(2, activation=k.layers.ReLU(max_value=2.0))(x))


def constants(k: Any) -> Any:
    x = k.Input((3,), name="x")
    y = x * k.ops.arange(3, dtype="float32") + np.ones(3, "float32")
    return k.Model(x, k.ops.repeat(y, 2, axis=1))


MODELS = (images_in_time, vectors_in_time, activation_layer)


@pytest.mark.parametrize("make", [*MODELS, constants])
def test_both_ways(make: Callable[[Any], Any]) -> None:
    ours, theirs = make(kcompile), make(keras)
    theirs.set_weights(ours.get_weights())
    again, read = from_json(to_json(ours)), from_json(theirs.to_json())
    assert to_json(again) == to_json(ours)
    assert print_graph(again.graph()) == print_graph(ours.graph())
    loaded = keras.models.model_from_json(to_json(ours))
    for model in (read, loaded):
        model.set_weights(ours.get_weights())
        assert_same_outputs(model, theirs)


def stacked(k: Any) -> Any:
    x = k.Input((None, 3), name="x")
    return k.Model(x, k.layers.RNN([k.layers.LSTMCell(3), k.layers.GRUCell(2)], name="r")(x))


def normalized(k: Any) -> Any:
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.SpectralNormalization(k.layers.Dense(2), name="s")(x))


def looked_up(k: Any) -> Any:
    x = k.Input((3,), dtype="string", name="x")
    return k.Model(x, k.layers.StringLookup(vocabulary=["a", "b"], name="v")(x))


def changed(*keys: Any, to: Any) -> Callable[[Config], None]:
    """A change of the config of the second layer."""

    def change(config: Config) -> None:
        target = config["config"]["layers"][1]["config"]
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = to

    return change


INNER = ("layer", "config")
CELL = ("cell", "config", "cells", 1)
REFUSALS: list[tuple[Callable[[Any], Any], Callable[[Config], None], str]] = [
    (
        stacked,
        changed(*CELL, "config", "foo", to=1),
        "layers[1].config.cell.config.cells[1].config.foo: this key is not understood",
    ),
    (
        stacked,
        changed(*CELL, "class_name", to="Cell"),
        "not known: keras.layers.Cell (layers[1].cell.cells[1])",
    ),
    (stacked, changed(*CELL, "module", to="evil"), "not known: evil.GRUCell"),
    (stacked, changed(*CELL, "foo", to=1), "cells[1].foo: this key is not understood"),
    (normalized, changed(*INNER, "units", to="2"), "layer.config.units: needs int, got '2'"),
    (normalized, changed("layer", to="Dense"), "config.layer: needs an object, got 'Dense'"),
    (
        images_in_time,
        changed(*INNER, "layers", 1, "config", "kernel_constraint", "config", "foo", to=1),
        "layers[1].config.kernel_constraint.config.foo: this key is not understood",
    ),
    (
        images_in_time,
        changed(*INNER, "layers", 1, "config", "kernel_constraint", "module", to="os"),
        "this class is not known: os.MaxNorm (layers[1].layer.layers[1])",
    ),
    (
        activation_layer,
        changed("activation", "class_name", to="Odd"),
        "not known: keras.layers.Odd",
    ),
    (looked_up, changed("vocabulary", to="/etc/passwd"), "names a file for the vocabulary"),
]


@pytest.mark.parametrize(("make", "change", "message"), REFUSALS)
def test_refusals(
    make: Callable[[Any], Any], change: Callable[[Config], None], message: str
) -> None:
    config = json.loads(to_json(make(kcompile)))
    change(config)
    with pytest.raises(KCompileError, match=re.escape(message)):
        from_json(config)


def test_a_lambda_is_never_run() -> None:
    x = keras.Input((3,))
    theirs = keras.Model(x, keras.layers.Lambda(lambda y: y)(x))
    with pytest.raises(FormatError, match="bytecode of Python, which is never run from a file"):
        from_json(theirs.to_json())
    ours = kcompile.Sequential([kcompile.layers.Lambda(lambda y: y, name="f")])
    with pytest.raises(SpecError, match="layer 'f': Lambda holds a function of Python"):
        to_json(ours)


def test_a_number_that_json_has_not() -> None:
    x = kcompile.Input((3,))
    model = kcompile.Model(x, kcompile.ops.clip(x, -np.inf, 1.0), name="m")
    with pytest.raises(SpecError, match="model 'm': JSON has no form for a number in it"):
        to_json(model)


def test_weights_between_layers_are_no_constants() -> None:
    x = kcompile.Input((3,))
    dense = kcompile.layers.Dense(3)
    y = dense(x)
    with pytest.raises(SpecError, match="a file cannot hold"):
        to_json(kcompile.Model(x, y * dense.bias))
