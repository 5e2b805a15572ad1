"""Convolution, pooling, resizing and reshaping layers against Keras, and in all runtimes.

For each configuration: outputs, gradients by weights and input, and configs are Keras's; the
reference, XLA and onnxruntime agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jax
import keras
import numpy as np
import onnx
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.models import Model
from kcompile.runtimes import reference
from kcompile.runtimes.jax import lower

RTOL = 1e-5
ATOL = 1e-5
#: Config keys of Keras that say nothing here.
INERT = {"quantization_config", "lora_rank", "lora_alpha"}
FIRST = {"data_format": "channels_first"}

Config = dict[str, Any]
Shapes = list[tuple[int, ...]]

LINE: Shapes = [(7, 4), (5, 2)]
IMAGE: Shapes = [(5, 6, 4), (5, 5, 1)]
VOLUME: Shapes = [(3, 4, 3, 2)]

WINDOWS: list[Config] = [
    {},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"strides": 2},
    {"dilation_rate": 2},
    {"dilation_rate": 2, "padding": "same"},
    {"kernel_size": 2, "padding": "same", "strides": 2, "use_bias": False},
    {"kernel_size": 1, "activation": "relu"},
    {**FIRST, "padding": "same", "strides": 2},
]
TRANSPOSED: list[Config] = [
    *WINDOWS,
    {"strides": 3},
    {"kernel_size": 2, "strides": 3},
    {"kernel_size": 1, "strides": 3, "padding": "same"},
    {"kernel_size": 2, "strides": 5, "padding": "same"},
    {"kernel_size": 4, "strides": 2, "padding": "same"},
    {"strides": 2, "output_padding": 0},
    {"strides": 2, "output_padding": 1},
    {"strides": 3, "output_padding": 2, "padding": "same"},
    {"strides": 2, "output_padding": 0, "padding": "same"},
    {"kernel_size": 4, "strides": 3, "output_padding": 1, "padding": "same"},
    {"kernel_size": 1, "strides": 2, "output_padding": 1, "padding": "same"},
    {"kernel_size": 2, "padding": "same", "output_padding": 0},
    {**FIRST, "strides": 3, "kernel_size": 2},
]
CAUSAL: list[Config] = [
    {},
    {"dilation_rate": 2},
    {"strides": 2},
    {"kernel_size": 1},
    {"groups": 2, "filters": 4},
    {"dilation_rate": 3, "kernel_size": 2, "use_bias": False, "activation": "tanh"},
    FIRST,
]


def _with(configs: list[Config], **defaults: Any) -> list[Config]:
    return [{**defaults, **config} for config in configs]


def _each(key: str, values: list[Any]) -> list[Config]:
    return [{key: value} for value in values]


def _adaptive(sizes: list[Any]) -> list[Config]:
    return [*_each("output_size", sizes), {"output_size": sizes[-1], **FIRST}]


INTERPOLATIONS = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
RESIZED: list[Config] = [
    *(
        {"height": height, "width": width, "interpolation": interpolation}
        for interpolation in INTERPOLATIONS
        for height, width in ((8, 12), (7, 9), (3, 4), (1, 1))
    ),
    *(
        {"height": 3, "width": 8, "interpolation": interpolation, "antialias": True}
        for interpolation in INTERPOLATIONS
    ),
    {"height": 4, "width": 9, "crop_to_aspect_ratio": True},
    {"height": 9, "width": 4, "crop_to_aspect_ratio": True},
    {"height": 4, "width": 9, "pad_to_aspect_ratio": True, "fill_value": 0.5},
    {"height": 9, "width": 4, "pad_to_aspect_ratio": True},
    {"height": 5, "width": 7, **FIRST},
]
GLOBAL: list[Config] = [{}, {"keepdims": True}, FIRST, {"keepdims": True, **FIRST}]

#: Layer: (configurations, shapes without the batch).
CASES: dict[str, tuple[list[Config], Shapes]] = {
    "Conv1D": (_with(CAUSAL, filters=3, kernel_size=3, padding="causal"), LINE),
    "Conv1DTranspose": (_with(TRANSPOSED, filters=3, kernel_size=3), LINE),
    "Conv2DTranspose": (
        [
            *_with(TRANSPOSED, filters=2, kernel_size=3),
            {"filters": 2, "kernel_size": (1, 3), "strides": (2, 1), "padding": "same"},
            {"filters": 2, "kernel_size": (2, 3), "strides": (3, 2), "output_padding": (0, 1)},
        ],
        IMAGE,
    ),
    "Conv3DTranspose": (_with([*TRANSPOSED[:4], TRANSPOSED[9]], filters=2, kernel_size=2), VOLUME),
    "DepthwiseConv1D": (
        [*_with(WINDOWS, kernel_size=3), {"kernel_size": 3, "depth_multiplier": 3}],
        LINE,
    ),
    "DepthwiseConv2D": (
        [
            *_with(WINDOWS, kernel_size=3),
            {"kernel_size": (3, 2), "depth_multiplier": 2, "padding": "same"},
        ],
        IMAGE,
    ),
    "SeparableConv1D": (
        [
            *_with(WINDOWS, filters=3, kernel_size=3),
            {"filters": 2, "kernel_size": 3, "depth_multiplier": 2},
        ],
        LINE,
    ),
    "SeparableConv2D": (
        [
            *_with(WINDOWS, filters=3, kernel_size=3),
            {"filters": 2, "kernel_size": (2, 3), "depth_multiplier": 3, "padding": "same"},
        ],
        IMAGE,
    ),
    "AdaptiveAveragePooling1D": (_adaptive([1, 3, 5, (2,), 9, 4]), [(7, 3), (6, 1)]),
    "AdaptiveMaxPooling1D": (_adaptive([1, 3, 5, (2,), 9, 4]), [(7, 3), (6, 1)]),
    "AdaptiveAveragePooling2D": (_adaptive([1, 2, (3, 5), (5, 4)]), [(6, 7, 2), (5, 5, 1)]),
    "AdaptiveMaxPooling2D": (_adaptive([1, 2, (3, 5), (5, 4)]), [(6, 7, 2), (5, 5, 1)]),
    "AdaptiveAveragePooling3D": (_adaptive([2, (2, 3, 5), (1, 4, 2)]), [(4, 5, 6, 2)]),
    "AdaptiveMaxPooling3D": (_adaptive([2, (2, 3, 5), (1, 4, 2)]), [(4, 5, 6, 2)]),
    "GlobalAveragePooling1D": (GLOBAL, LINE),
    "GlobalAveragePooling2D": (GLOBAL, IMAGE),
    "GlobalAveragePooling3D": (GLOBAL, VOLUME),
    "GlobalMaxPooling1D": (GLOBAL, LINE),
    "GlobalMaxPooling2D": (GLOBAL, IMAGE),
    "GlobalMaxPooling3D": (GLOBAL, VOLUME),
    "UpSampling1D": ([{}, {"size": 3}, {"size": 1}], [(4, 2), (1, 1)]),
    "UpSampling2D": (
        [
            {},
            {"size": 3},
            {"size": (1, 4)},
            {"size": (2, 3), **FIRST},
            *_each("interpolation", INTERPOLATIONS[1:]),
            {"size": (3, 1), "interpolation": "bilinear"},
            {"size": (2, 3), "interpolation": "bilinear", **FIRST},
            {"size": (3, 2), "interpolation": "bicubic", **FIRST},
        ],
        [(3, 4, 2), (1, 1, 1)],
    ),
    "UpSampling3D": ([{}, {"size": (1, 3, 2)}, {"size": 3, **FIRST}], [(2, 3, 2, 2)]),
    "ZeroPadding1D": (
        [{}, {"padding": 2}, {"padding": (0, 3)}, {"padding": (1, 2), **FIRST}],
        LINE,
    ),
    "ZeroPadding2D": ([{"padding": (2, 1)}, {"padding": ((1, 0), (2, 3)), **FIRST}], IMAGE),
    "ZeroPadding3D": (
        [
            {},
            {"padding": 2},
            {"padding": (0, 1, 2)},
            {"padding": ((1, 0), (0, 2), (3, 1)), **FIRST},
        ],
        VOLUME,
    ),
    "Cropping1D": ([{}, {"cropping": 2}, {"cropping": (0, 2)}, {"cropping": (3, 0)}], LINE),
    "Cropping2D": (
        [
            {},
            {"cropping": 1},
            {"cropping": (0, 1)},
            {"cropping": ((1, 0), (0, 1))},
            {"cropping": ((0, 1), (1, 0)), "data_format": "channels_first"},
        ],
        [(5, 6, 3), (3, 3, 4)],
    ),
    "Cropping3D": (
        [
            {},
            {"cropping": (0, 1, 1)},
            {"cropping": ((1, 0), (0, 2), (1, 1))},
            {"cropping": 1, **FIRST},
        ],
        [(4, 5, 4, 3)],
    ),
    "RepeatVector": ([{"n": 1}, {"n": 4}], [(3,), (1,)]),
    "Rescaling": ([{"scale": 2.0, "offset": -1.0}, {"scale": 1 / 255}], [(3,), (3, 2, 4)]),
    "Resizing": (RESIZED, [(6, 8, 2), (1, 1, 1)]),
    "CenterCrop": (
        [
            {"height": 3, "width": 4},
            {"height": 6, "width": 8},
            {"height": 2, "width": 7, **FIRST},
            {"height": 7, "width": 5},
            {"height": 12, "width": 9},
        ],
        [(6, 8, 2), (7, 9, 7)],
    ),
}


def _label(name: str, config: Config, shape: tuple[int, ...]) -> str:
    return f"{name}-{json.dumps(config)}-{shape}".replace(" ", "")


def _every_case() -> Iterator[Any]:
    for name, (configs, shapes) in CASES.items():
        for number, config in enumerate(configs):
            for shape in shapes:
                slow = shape != shapes[0] or number % 6 != min(3, len(configs) - 1)
                if config.get("data_format") == "channels_first":
                    shape = (shape[-1], *shape[:-1])
                marks = [pytest.mark.slow] if slow else []
                yield pytest.param(name, config, shape, id=_label(name, config, shape), marks=marks)


def _draw(shape: tuple[int, ...], batch: int = 3) -> Any:
    return np.random.default_rng(0).normal(size=(batch, *shape)).astype("f")


def _pair(name: str, config: Config, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Our layer in a model and Keras's, with the same weights."""
    theirs = getattr(keras.layers, name)(**config, name="layer")
    theirs.build((None, *shape))
    ours = getattr(layers, name)(**config, name="layer")
    x = layers.Input(shape, name="x")
    model = Model(x, ours(x))
    random = np.random.default_rng(1)
    weights = [random.normal(size=w.shape).astype("f") / 2 for w in theirs.weights]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    assert [v.name for v in ours.weights] == [w.name for w in theirs.weights]
    return model, theirs


def _close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, RTOL, ATOL)


@pytest.mark.parametrize(("name", "config", "shape"), list(_every_case()))
def test_equals_keras_in_all_runtimes(name: str, config: Config, shape: tuple[int, ...]) -> None:
    model, theirs = _pair(name, config, shape)
    x = _draw(shape)
    expected = np.asarray(theirs(x))
    graph = model.graph()
    arrays = {path: variable.numpy() for path, variable in model.named_weights().items()}
    arrays = {e.name: arrays.get(e.name, x) for e in graph.inputs}
    (output,) = reference.run(graph, arrays)[0].values()
    _close(output, expected)
    projection = np.random.default_rng(2).normal(size=expected.shape).astype("f")

    def ours(values: dict[str, Any]) -> Any:
        (y,) = lower(graph)(values)[0].values()
        return (y * projection).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(ours, has_aux=True))(arrays)
    _close(y, expected)
    names = [entry.name for entry in graph.inputs if entry.name != "x"]
    if not names and name not in _WITH_INPUT_GRADIENTS:
        return

    def of_keras(weights: list[Any], inputs: Any) -> Any:
        y, _ = theirs.stateless_call(weights, [], inputs)
        return (y * projection).sum()

    values = [w.value for w in theirs.trainable_weights]
    by_weights, by_input = jax.jit(jax.grad(of_keras, (0, 1)))(values, x)
    _close(gradients["x"], by_input)
    for entry, expected_gradient in zip(theirs.trainable_weights, by_weights, strict=True):
        _close(gradients[f"layer/{entry.name}"], expected_gradient)


#: Layers without weights whose gradient by the input is worth the time.
_WITH_INPUT_GRADIENTS = {
    "AdaptiveAveragePooling2D",
    "AdaptiveMaxPooling2D",
    "CenterCrop",
    "Cropping2D",
    "Resizing",
    "UpSampling2D",
}


@pytest.mark.parametrize(("name", "config", "shape"), list(_every_case()))
def test_compiles_to_onnx(name: str, config: Config, shape: tuple[int, ...]) -> None:
    """`compile` holds the file against the reference at batch 1 and an odd batch."""
    model, theirs = _pair(name, config, shape)
    executable = kcompile.compile(model)
    for batch in (1, 3):
        x = _draw(shape, batch)
        (output,) = executable.run({"x": x}).values()
        _close(output, theirs(x))


def _config_cases() -> Iterator[Any]:
    for name, (configs, _) in CASES.items():
        for config in configs[:: max(1, len(configs) // 4)]:
            yield pytest.param(name, config, id=_label(name, config, ()))


def _keras_value(value: Any) -> Any:
    return keras.saving.serialize_keras_object(value)


@pytest.mark.parametrize(("name", "config"), list(_config_cases()))
def test_configs_go_both_ways(name: str, config: Config) -> None:
    ours = getattr(layers, name)(**config, name="a_layer")
    theirs = getattr(keras.layers, name)(**config, name="a_layer")
    our_config = json.loads(json.dumps(ours.get_config()))
    their_config = json.loads(json.dumps(theirs.get_config(), default=_keras_value))
    assert set(their_config) - set(our_config) <= INERT
    assert {key: their_config[key] for key in our_config} == our_config
    again = type(ours).from_config(their_config)
    assert json.loads(json.dumps(again.get_config())) == our_config
    loaded = type(theirs).from_config(our_config)
    assert json.loads(json.dumps(loaded.get_config(), default=_keras_value)) == their_config


SYMBOLIC: list[tuple[str, Config]] = [
    ("Conv1D", {"filters": 2, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("Cropping2D", {"cropping": ((0, 1), (1, 0))}),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same"}),
    ("SeparableConv2D", {"filters": 2, "kernel_size": 3, "padding": "same", "strides": 2}),
    ("UpSampling2D", {"size": (2, 3)}),
    ("UpSampling2D", {"size": 2, "interpolation": "bilinear"}),
    ("ZeroPadding1D", {}),
    ("Resizing", {"height": 4, "width": 5}),
    ("Resizing", {"height": 4, "width": 5, "interpolation": "nearest"}),
]


@pytest.mark.parametrize(("name", "config"), SYMBOLIC, ids=str)
def test_open_sizes(name: str, config: Config) -> None:
    num_axes = 1 if name.endswith("1D") else 2
    model, theirs = _pair(name, config, (*(None,) * num_axes, 3))
    executable = kcompile.compile(model)
    for shape in ((5, 6, 3), (8, 3, 3)):
        x = _draw(shape[-num_axes - 1 :], 2)
        (output,) = executable.run({"x": x}).values()
        _close(output, theirs(x))


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
