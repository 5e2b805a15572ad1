"""One application here and in Keras: the same graph, the same names, the same numbers."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kcompile.formats.architecture import from_json
from kcompile.ir.printer import print_graph
from kcompile.utils import clear_session


def both(module: str, name: str, /, **arguments: Any) -> tuple[Any, Any]:
    """Keras's model and ours, untrained; names that a counter gives begin anew for both."""
    keras.utils.clear_session()
    clear_session()
    arguments = {"weights": None, **arguments}
    theirs = getattr(keras.applications, name)(**arguments)
    ours = getattr(importlib.import_module(f"kcompile.applications.{module}"), name)(**arguments)
    return theirs, ours


def check_definition(theirs: Any, ours: Any) -> None:
    """Layers, names, sizes and graph are Keras's, told from Keras's own description."""
    assert ours.name == theirs.name
    assert ours.count_params() == theirs.count_params()
    read = from_json(theirs.to_json())
    assert _layers(ours) == _layers(theirs)
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert print_graph(ours.graph()) == print_graph(read.graph())


def _layers(model: Any) -> list[tuple[str, str]]:
    return [(type(layer).__name__, layer.name) for layer in model.layers]


def check_numbers(theirs: Any, ours: Any, folder: Path, size: int = 32) -> None:
    """Keras's random weights, handed over in a file, give Keras's outputs.

    Statistics of batch normalization and scales are drawn too: the initial ones would hide a
    wrong order of weights.
    """
    randomize(theirs)
    path = folder / "handed.weights.h5"
    theirs.save_weights(path)
    ours.load_weights(path)
    channels = ours.input_shape[-1]
    images = np.random.default_rng(1).uniform(0, 255, (2, size, size, channels)).astype("float32")
    expected = np.asarray(theirs(images, training=False))
    received = ours.predict(images, verbose=0)
    assert np.isfinite(expected).all() and np.ptp(expected) > 0
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=2e-4 * np.abs(expected).max())


def randomize(model: Any, seed: int = 0) -> None:
    """Weights with which signals neither vanish nor explode in a deep network.

    Those of Normalization stay: Keras's layer computes with copies of them.
    """
    rng = np.random.default_rng(seed)
    kept = (layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    fixed = {id(weight) for layer in kept for weight in layer.weights}
    for weight in model.weights:
        if id(weight) in fixed:
            continue
        shape = tuple(weight.shape)
        name = weight.path.rpartition("/")[2]
        if name in ("gamma", "moving_variance"):
            values = rng.uniform(0.8, 1.2, shape)
        elif name in ("bias", "beta", "moving_mean") or len(shape) < 2:
            values = rng.normal(0, 0.05, shape)
        else:
            values = rng.normal(0, np.sqrt(1.0 / max(np.prod(shape[:-1]), 1)), shape)
        weight.assign(values.astype("float32"))
