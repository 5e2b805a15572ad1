"""Equalization leaves the function as it is."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.passes.equalize_layers import equalize_layers
from kcompile.runtimes import reference


def network(data_format: str) -> kcompile.Model:
    """A product over the last axis, and a convolution over channels that are there, or not."""
    kcompile.utils.set_random_seed(1)
    x = layers.Input((4, 6, 4), name="x")
    y = layers.Dense(4, activation="relu", name="dense")(x)
    y = layers.Conv2D(5, 3, data_format=data_format, activation="relu", name="conv")(y)
    y = layers.Conv2D(3, 1, data_format=data_format, name="last")(y)
    return kcompile.Model(x, layers.Flatten(name="flat")(y), name="net")


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_the_function_stays(data_format: str) -> None:
    graph = kcompile.compile(network(data_format)).graph
    equalized = equalize_layers(graph)
    assert equalized is not graph
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 4)).astype(np.float32)
    expected, found = (reference.run(g, {"x": x})[0]["flat"] for g in (graph, equalized))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_quantized_it_stays_near() -> None:
    x = np.random.default_rng(0).normal(size=(64, 4, 6, 4)).astype(np.float32)
    executable = kcompile.quantize(network("channels_first"), x, equalize=True)
    assert executable.report["quantization"]["relative_error"] < 0.05
