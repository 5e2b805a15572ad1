"""Image functions against Keras, and what image layers refuse; their numbers are in `tables`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.models import Model
from tests.conformance.case import FIRST, Config
from tests.conformance.tables.images import INTERPOLATIONS

RTOL = 1e-5
ATOL = 1e-5


def _draw(shape: tuple[int, ...], batch: int = 3) -> Any:
    return np.random.default_rng(0).normal(size=(batch, *shape)).astype("f")


def _close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, RTOL, ATOL)


def _images(*shape: int) -> Any:
    return np.random.default_rng(3).integers(0, 256, shape).astype("uint8")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resizing_integers_rounds_within_their_range(interpolation: str) -> None:
    x = _images(2, 5, 6, 3)
    found = np.asarray(kcompile.ops.image.resize(x, (8, 9), interpolation))
    expected = np.asarray(keras.ops.image.resize(x, (8, 9), interpolation))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    exact = np.asarray(kcompile.ops.image.resize(x.astype("f"), (8, 9), interpolation))
    # Halves go up or down by the last digit of float32.
    clear = np.abs(exact % 1 - 0.5) > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], expected[clear])


FUNCTIONS: list[tuple[str, tuple[Any, ...], Config]] = [
    (
        "image.pad_images",
        ((2, 5, 6, 3),),
        {"top_padding": 1, "left_padding": 2, "target_height": 9, "target_width": 9},
    ),
    (
        "image.crop_images",
        ((5, 6, 3),),
        {"bottom_cropping": 1, "left_cropping": 2, "target_height": 3, "target_width": 3},
    ),
    ("image.rgb_to_grayscale", ((2, 3, 4, 3),), {}),
    ("image.resize", ((5, 6, 3),), {"size": (3, 9)}),
    ("space_to_depth", ((2, 4, 6, 3),), {"block_size": 2}),
    ("space_to_depth", ((2, 3, 4, 6),), {"block_size": 2, **FIRST}),
    ("depth_to_space", ((2, 2, 3, 8),), {"block_size": 2}),
    ("depth_to_space", ((2, 8, 3, 2),), {"block_size": 2, **FIRST}),
    ("adaptive_max_pool", ((2, 5, 6, 3),), {"output_size": (2, 4)}),
    ("depthwise_conv", ((2, 5, 6, 3), (2, 3, 3, 2)), {"strides": 2, "padding": "same"}),
    ("separable_conv", ((2, 5, 6, 3), (2, 3, 3, 2), (1, 1, 6, 4)), {"dilation_rate": 2}),
    ("conv_transpose", ((2, 5, 3), (2, 4, 3)), {"strides": 2, "output_padding": 5}),
]


@pytest.mark.parametrize(("name", "shapes", "arguments"), FUNCTIONS, ids=str)
def test_functions_equal_keras(name: str, shapes: tuple[Any, ...], arguments: Config) -> None:
    theirs, ours = keras.ops, kcompile.ops
    for part in name.split("."):
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    tensors = [_draw(shape[1:], shape[0]) for shape in shapes]
    _close(ours(*tensors, **arguments), theirs(*tensors, **arguments))


def test_a_mask_leaves_steps_out_of_the_mean() -> None:
    x, mask = _draw((4, 2)), np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
    found = layers.GlobalAveragePooling1D()(x, mask=mask)
    _close(found, keras.layers.GlobalAveragePooling1D()(x, mask=mask))


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(SpecError, match="output_padding"):
        layers.Conv1DTranspose(2, 3, strides=2, output_padding=2)
    with pytest.raises(SpecError, match="causal"):
        layers.Conv2D(2, 3, padding="causal")
    with pytest.raises(NotImplementedError, match="adaptive"):
        layers.AdaptiveMaxPooling1D(2)(layers.Input((None, 3)))
    with pytest.raises(ShapeError, match="leaves nothing"):
        layers.Cropping1D(2)(layers.Input((4, 3)))


def test_a_decoder_exports_with_channels_first_and_nothing_else() -> None:
    x = layers.Input((4, 5, 3), name="x")
    y = layers.Conv2DTranspose(4, 3, strides=2, padding="same", use_bias=False)(x)
    y = layers.UpSampling2D(2, interpolation="bilinear")(layers.BatchNormalization()(y))
    model = Model(x, layers.Conv2D(1, 3, padding="same")(y))
    (norm,) = (layer for layer in model.layers if layer.name.startswith("batch"))
    norm.set_weights(
        [np.array(v, "f") for v in ([1, 2, 3, 4], [4, 3, 2, 1], [0, 1, 0, 1], [1, 2, 1, 2])]
    )
    executable = kcompile.compile(model)
    nodes = onnx.load_from_string(executable.to_bytes()).graph.node
    types = [node.op_type for node in nodes]
    assert types.count("ConvTranspose") == types.count("Resize") == types.count("Conv") == 1
    assert "BatchNormalization" not in types
    assert types.count("Transpose") <= 1  # one channel at the end: no elements move there
