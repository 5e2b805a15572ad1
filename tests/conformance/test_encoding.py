"""Discretization and CategoryEncoding against Keras, which computes these without TensorFlow."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import SpecError
from tests.ops.tolerances import assert_same

MODES = ("int", "one_hot", "multi_hot", "count")
FLOATS = np.array([[-1.5, 0.0, 0.4], [1.0, 0.5, 7.0], [0.5, np.inf, -np.inf]], np.float32)
INDICES = np.array([[0, 3, 1], [2, 2, 2], [1, 0, 3]], np.int32)


@pytest.fixture(scope="module")
def keras() -> Any:
    return importlib.import_module("keras")


def check(layer: Any, expected: Any, x: np.ndarray[Any, Any], *more: np.ndarray[Any, Any]) -> None:
    """Eagerly, and through the runtimes of a model."""
    expected = np.asarray(expected)
    assert_same(layer(x, *more), expected)
    given = [x, *more]
    inputs = [kcompile.Input(a.shape[1:], dtype=a.dtype) for a in given]
    model = kcompile.Model(inputs, layer(*inputs))
    for target in ("reference", "xla", "onnx"):
        executable = kcompile.compile(model, target)
        for rows in (slice(0, 3), slice(0, 1)):
            (found,) = executable.run([a[rows] for a in given]).values()
            assert_same(found, expected[rows], target)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("columns", [1, 3])
def test_discretization(keras: Any, mode: str, columns: int) -> None:
    config = {"bin_boundaries": [0.0, 0.5, 1.0], "output_mode": mode, "name": "bins"}
    x = FLOATS[:, :columns]
    ours, theirs = layers.Discretization(**config), keras.layers.Discretization(**config)
    check(ours, theirs(x), x)
    assert ours.get_config() == theirs.get_config()
    assert keras.layers.Discretization.from_config(ours.get_config()).bin_boundaries == [0, 0.5, 1]


@pytest.mark.parametrize(("num_bins", "epsilon"), [(4, 0.01), (3, 0.1), (7, 0.3), (1, 0.01)])
@pytest.mark.parametrize("batches", [1, 3])
def test_discretization_adapts(keras: Any, num_bins: int, epsilon: float, batches: int) -> None:
    data = np.random.default_rng(1).gamma(2.0, size=(600, 2)).astype(np.float32)
    config = {"num_bins": num_bins, "epsilon": epsilon, "name": "bins"}
    ours, theirs = layers.Discretization(**config), keras.layers.Discretization(**config)
    ours.adapt(data if batches == 1 else iter(np.split(data, batches)))
    for batch in np.split(data, batches):  # Keras's adapt asks TensorFlow whether it is a Dataset
        theirs.update_state(batch)
    theirs.finalize_state()
    assert ours.bin_boundaries == theirs.bin_boundaries
    config = json.loads(json.dumps(ours.get_config()))
    assert config == theirs.get_config()
    assert layers.Discretization.from_config(config).get_config() == config


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("columns", [1, 3])
def test_category_encoding(keras: Any, mode: str, columns: int) -> None:
    config = {"num_tokens": 4, "output_mode": mode, "name": "codes"}
    x = INDICES[:, :columns]
    ours, theirs = layers.CategoryEncoding(**config), keras.layers.CategoryEncoding(**config)
    check(ours, theirs(x), x)
    assert ours.get_config() == theirs.get_config()
    assert layers.CategoryEncoding.from_config(theirs.get_config()).output_mode == mode


def test_category_encoding_of_one_sample_and_of_one_category(keras: Any) -> None:
    for mode in MODES[1:]:
        ours = layers.CategoryEncoding(4, mode)
        theirs = keras.layers.CategoryEncoding(4, mode)
        for x in (INDICES[0], np.int32(2)):
            assert_same(ours(np.asarray(x)), theirs(x))


def test_category_encoding_with_weights(keras: Any) -> None:
    weights = np.array([[0.5, 1, 2], [1, 1, 0.25], [3, 0, 1]], np.float32)
    ours = layers.CategoryEncoding(4, "count")
    theirs = keras.layers.CategoryEncoding(4, "count")
    check(ours, theirs(INDICES, count_weights=weights), INDICES, weights)


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: layers.CategoryEncoding(), "num_tokens"),
        (lambda: layers.CategoryEncoding(0), "num_tokens"),
        (lambda: layers.CategoryEncoding(3, "int"), "'int' is not known"),
        (lambda: layers.CategoryEncoding(3)(INDICES, np.ones((3, 3))), "count_weights"),
        (lambda: layers.Discretization(), "one of them"),
        (lambda: layers.Discretization([1.0], 3), "one of them"),
        (lambda: layers.Discretization([1.0, 0.0]), "must ascend"),
        (lambda: layers.Discretization(num_bins=0), "num_bins"),
        (lambda: layers.Discretization(num_bins=3)(FLOATS), "no boundaries yet"),
        (lambda: layers.Discretization([0.0]).adapt(FLOATS), "cannot adapt"),
        (lambda: layers.Discretization(num_bins=2).adapt(iter([])), "no data"),
    ],
)
def test_refusals(make_layer: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_layer()
