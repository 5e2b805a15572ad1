"""Augmentation of images: what Keras drew gives the same images here; inference has none of it."""

from __future__ import annotations

import json
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.formats import from_json
from kcompile.ir.errors import SpecError
from kcompile.ops import scopes
from kcompile.runtimes import reference
from kcompile.runtimes.jax import run_graph

Config = dict[str, Any]

BYTES = np.random.default_rng(0).uniform(0, 255, (3, 6, 7, 3)).astype("f")
UNIT = (BYTES / 255).astype("f")
#: Layer, arguments, images.
CASES: list[tuple[str, Config, Any]] = [
    ("RandomFlip", {}, BYTES),
    ("RandomFlip", {"mode": "horizontal"}, BYTES),
    ("RandomFlip", {"mode": "vertical"}, BYTES),
    ("RandomRotation", {"factor": 0.2}, BYTES),
    (
        "RandomRotation",
        {
            "factor": (-0.1, 0.3),
            "fill_mode": "constant",
            "fill_value": 3.0,
            "interpolation": "nearest",
        },
        BYTES,
    ),
    ("RandomZoom", {"height_factor": 0.3}, BYTES),
    (
        "RandomZoom",
        {"height_factor": (-0.5, 0.2), "width_factor": 0.4, "fill_mode": "wrap"},
        BYTES,
    ),
    ("RandomTranslation", {"height_factor": 0.3, "width_factor": 0.2}, BYTES),
    (
        "RandomTranslation",
        {"height_factor": (0.1, 0.5), "width_factor": 0, "fill_mode": "nearest"},
        BYTES,
    ),
    ("RandomShear", {"x_factor": (0.0, 0.3), "y_factor": (0.1, 0.2)}, BYTES),
    ("RandomCrop", {"height": 3, "width": 4}, BYTES),
    ("RandomPerspective", {"factor": 0.7, "scale": 0.4}, BYTES),
    ("RandomContrast", {"factor": 0.5}, BYTES),
    ("RandomContrast", {"factor": (0.2, 0.9), "value_range": [0, 1]}, UNIT),
    ("RandomBrightness", {"factor": 0.3}, BYTES),
    ("RandomBrightness", {"factor": (-0.5, 0.1)}, BYTES.astype("uint8")),
    ("RandomHue", {"factor": 0.7}, BYTES),
    ("RandomHue", {"factor": (0.2, 0.7), "value_range": [0, 1]}, UNIT),
    ("RandomSaturation", {"factor": (0.2, 0.8)}, UNIT),
    ("RandomSharpness", {"factor": 0.9}, BYTES),
    ("RandomGrayscale", {"factor": 0.6}, BYTES),
    ("RandomInvert", {"factor": 0.6}, BYTES),
    ("RandomPosterization", {"factor": 5}, BYTES),
    ("RandomPosterization", {"factor": (2, 6), "value_range": [0, 1]}, UNIT),
    ("RandomColorDegeneration", {"factor": 0.6}, BYTES),
    ("Solarization", {"addition_factor": 0.3, "threshold_factor": 0.7}, BYTES),
    ("RandomGaussianBlur", {"kernel_size": (3, 5)}, BYTES),
    ("RandomErasing", {}, BYTES),
    ("RandomErasing", {"fill_value": 3.0, "scale": 0.6}, BYTES),
    ("AutoContrast", {}, np.concatenate([BYTES[:2], np.full_like(BYTES[:1], 7)])),
    ("AutoContrast", {"value_range": (0, 1)}, UNIT),
    ("Equalization", {}, BYTES),
    ("Equalization", {"bins": 50, "value_range": (0, 1)}, UNIT),
    ("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (2, 3)}, BYTES),
    ("MixUp", {}, BYTES),
    ("CutMix", {"factor": (0.5, 1.0)}, BYTES),
]
#: These have no transformation of Keras's to compare with: nested ones, or noise of one's own.
OTHERS: list[tuple[str, Config, Any]] = [
    ("RandomElasticTransform", {"scale": 0.9}, BYTES),
    ("RandomColorJitter", {"brightness_factor": 0.2, "hue_factor": 0.1}, UNIT),
    ("RandAugment", {}, BYTES),
]
COMPUTES_ALWAYS = {"AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "RandomCrop"}
#: Their programs take long to compile.
TAKE_LONG = {
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Equalization",
    "MixUp",
    "RandomErasing",
    "RandomPerspective",
}


def is_first(index: int) -> bool:
    return index == 0 or CASES[index - 1][0] != CASES[index][0]


def transform_cases() -> list[Any]:
    found = []
    for index, (name, config, images) in enumerate(CASES):
        for data_format in ("channels_last", "channels_first"):
            for single in (False, True):
                usual = data_format == "channels_last" and not single and is_first(index)
                usual = usual and name not in TAKE_LONG
                mixes = name in ("MixUp", "CutMix")
                if mixes and single:
                    continue
                marks = [] if usual else [pytest.mark.slow]
                label = f"{index}-{name}-{data_format}-{'single' if single else 'batch'}"
                values = (name, {**config, "data_format": data_format}, images, single)
                found.append(pytest.param(*values, id=label, marks=marks))
    return found


@pytest.mark.parametrize(("name", "config", "images", "single"), transform_cases())
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning")
def test_the_same_transformation_gives_the_same_images(
    name: str, config: Config, images: Any, single: bool
) -> None:
    if config["data_format"] == "channels_first":
        images = np.moveaxis(images, -1, 1).copy()
    images = images[0] if single else images
    theirs = getattr(keras.layers, name)(**config)
    ours = getattr(layers, name)(**config)
    if single and name == "AutoContrast":
        drawn = None
        expected = theirs(images, training=True)
    else:
        drawn = theirs.get_random_transformation(images, training=True)
        method = theirs.transform_single_image if single else theirs.transform_images
        expected = method(images, drawn, training=True)
    found = ours.transform_images(images, as_arrays(drawn), training=True)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    # Warps round coordinates near edges between values of up to 255.
    scale = 255 if images.max() > 1 else 1
    floats = np.asarray(found, "f"), np.asarray(expected, "f")
    np.testing.assert_allclose(*floats, 1e-5, 2e-6 * scale)
    if drawn is None:
        return
    mine = ours.get_random_transformation(images)
    if isinstance(mine, dict) and not single:
        for key, value in mine.items():
            assert tuple(value.shape) == tuple(np.shape(drawn[key])), key


def as_arrays(drawn: Any) -> Any:
    if isinstance(drawn, dict):
        return {key: np.asarray(value) for key, value in drawn.items()}
    if isinstance(drawn, tuple):
        return tuple(np.asarray(value) for value in drawn)
    return None if drawn is None else np.asarray(drawn)


ALL = [*CASES, *OTHERS]
FIRST_OF_EACH = [case for i, case in enumerate(ALL) if i == 0 or ALL[i - 1][0] != case[0]]
LAYER_IDS = [case[0] for case in FIRST_OF_EACH]


@pytest.mark.parametrize(("name", "config", "images"), FIRST_OF_EACH, ids=LAYER_IDS)
def test_vanishes_at_inference(name: str, config: Config, images: Any) -> None:
    x = layers.Input(images.shape[1:])
    model = kcompile.Model(x, getattr(layers, name)(**config)(x))
    assert (name in COMPUTES_ALWAYS) == bool(model.graph().nodes)


def test_what_computes_at_inference_exports() -> None:
    x = layers.Input((6, 7, 3))
    y = layers.RandomRotation(0.2)(layers.RandomFlip()(x))
    y = layers.RandomCrop(4, 4)(layers.AutoContrast()(y))
    executable = kcompile.compile(kcompile.Model(x, layers.RandomContrast(0.5)(y)))
    stretched = keras.layers.AutoContrast()(BYTES)
    expected = keras.ops.image.resize(stretched, (4, 4), crop_to_aspect_ratio=True)
    for batch in (1, 3):
        (found,) = executable.run(BYTES[:batch]).values()
        np.testing.assert_allclose(found, expected[:batch], 1e-5, 1e-3)


@pytest.mark.slow
def test_adaptive_equalization_exports() -> None:
    x = layers.Input((6, 7, 3))
    layer = layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 3))
    executable = kcompile.compile(kcompile.Model(x, layer(x)))
    theirs = keras.layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 3))
    (found,) = executable.run(BYTES).values()
    np.testing.assert_allclose(found, theirs(BYTES), 1e-5, 1e-3)


def training_cases() -> list[Any]:
    usual = {"RandomRotation", "RandomColorJitter"}
    return [
        pytest.param(*case, id=case[0], marks=[] if case[0] in usual else [pytest.mark.slow])
        for case in FIRST_OF_EACH
    ]


@pytest.mark.parametrize(("name", "config", "images"), training_cases())
def test_in_training_reference_equals_jax(name: str, config: Config, images: Any) -> None:
    x = layers.Input(images.shape[1:], dtype=str(images.dtype))
    model = kcompile.Model(x, getattr(layers, name)(**config)(x))
    graph = model.graph(training=True)
    arrays = {entry.name: images for entry in graph.inputs}
    if "rng" in arrays:
        arrays["rng"] = np.array([3, 5], np.uint32)
    (expected,) = reference.run(graph, arrays)[0].values()
    (found,) = run_graph(graph, arrays)[0].values()
    if name == "RandomPosterization":
        found, expected = np.asarray(found) // 8, np.asarray(expected) // 8
    np.testing.assert_allclose(found, expected, 1e-4, 2e-3)


ALL_IDS = [f"{name}-{json.dumps(config)}".replace(" ", "") for name, config, _ in ALL]


@pytest.mark.parametrize(("name", "config", "images"), ALL, ids=ALL_IDS)
def test_configs_go_both_ways(name: str, config: Config, images: Any) -> None:
    config = {**config, "name": "a_layer"}
    takes_seed = name not in {
        "AutoContrast",
        "Equalization",
        "ContrastLimitedAdaptiveHistogramEqualization",
    }
    if takes_seed:
        config["seed"] = 3
    ours = getattr(layers, name)(**config)
    theirs = getattr(keras.layers, name)(**config)
    our_config = json.loads(json.dumps(ours.get_config()))
    their_config = json.loads(
        json.dumps(theirs.get_config(), default=keras.saving.serialize_keras_object)
    )
    if name == "RandomGrayscale":  # Keras forgets its seed
        their_config["seed"] = 3
    assert our_config == their_config
    assert json.loads(json.dumps(type(ours).from_config(their_config).get_config())) == our_config
    theirs_again = type(theirs).from_config(our_config).get_config()
    theirs_again = json.loads(json.dumps(theirs_again, default=keras.saving.serialize_keras_object))
    if name == "RandomGrayscale":
        theirs_again["seed"] = 3
    assert theirs_again == their_config


def test_architecture_files_hold_them() -> None:
    x = keras.Input((6, 7, 3))
    y = keras.layers.RandomZoom((-0.2, 0.1), seed=4)(keras.layers.RandomFlip("horizontal")(x))
    model = keras.Model(x, keras.layers.Solarization(0.1, 0.2)(y))
    ours = from_json(model.to_json())
    assert [type(layer).__name__ for layer in ours.layers[1:]] == [
        "RandomFlip",
        "RandomZoom",
        "Solarization",
    ]
    assert ours.layers[2].seed == 4
    again = keras.models.model_from_json(ours.to_json())
    assert again.layers[2].height_factor == [-0.2, 0.1]


def test_a_model_trains_with_augmentation_and_repeats_itself() -> None:
    def losses() -> list[float]:
        kcompile.utils.set_random_seed(7)
        model = kcompile.Sequential(
            [
                layers.Input((6, 7, 3)),
                layers.RandomFlip("horizontal", seed=1),
                layers.RandomRotation(0.1, seed=2),
                layers.RandomZoom(0.2, seed=3),
                layers.Conv2D(2, 3),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse")
        target = np.ones((3, 1), "f")
        return [float(model.train_on_batch(UNIT, target)) for _ in range(3)]

    first, second = losses(), losses()
    assert first == second
    assert len(set(first)) == 3


def test_a_seed_gives_the_same_sequence_of_images() -> None:
    first, second = (layers.RandomFlip("horizontal", seed=4) for _ in range(2))
    ours = [np.asarray(first(BYTES)) for _ in range(6)]
    again = [np.asarray(second(BYTES)) for _ in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(ours, again, strict=True))
    assert any(not np.array_equal(a, ours[0]) for a in ours[1:])
    np.testing.assert_array_equal(first(BYTES, training=False), BYTES)


def test_draws_with_a_seed_of_their_own_differ() -> None:
    many = np.zeros((2000, 2, 2, 3), "f")
    drawn = layers.RandomInvert((0.0, 1.0)).get_random_transformation(many, seed=3)
    # The probability is uniform, and so is what is compared with it: half of them.
    share = np.mean(np.asarray(drawn["apply_inversion"]))
    assert abs(share - 0.5) < 6 * 0.5 / 2000**0.5
    layer = layers.RandomShear(0.5, 0.5)
    shear, again = (
        np.asarray(layer.get_random_transformation(many, seed=3)["shear_factor"]) for _ in range(2)
    )
    assert not np.array_equal(np.abs(shear[:, 0]), np.abs(shear[:, 1]))
    np.testing.assert_array_equal(shear, again)


@pytest.mark.parametrize("seed", [None, 4])
def test_a_compiled_step_draws_anew_each_time(seed: int | None) -> None:
    layer = layers.RandomBrightness((0.1, 0.9), value_range=(0, 1), seed=seed)

    @jax.jit
    def step(key: Any, images: Any) -> Any:
        with scopes.random_keys(key):
            return layer(images), layer.get_random_transformation(images)["rgb_delta"]

    zeros = np.zeros((3, 2, 2, 1), "f")
    (first, drawn), (second, redrawn) = (step(np.array([n, 0], np.uint32), zeros) for n in (1, 2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(drawn, redrawn)


def test_ranges_of_what_is_drawn() -> None:
    many = np.zeros((2000, 2, 2, 3), "f")

    def drawn(layer: Any, key: str) -> Any:
        return np.asarray(layer.get_random_transformation(many)[key])

    angle = drawn(layers.RandomRotation((-0.1, 0.3)), "angle")
    assert -36 <= angle.min() < -30 and 102 < angle.max() <= 108
    # Six standard errors of the mean of 2000 numbers.
    assert abs(angle.mean() - 36) < 6 * 144 / (12 * 2000) ** 0.5
    contrast = drawn(layers.RandomContrast((0.2, 0.4)), "contrast_factor")
    assert 0.8 <= contrast.min() < 0.82 and 1.38 < contrast.max() <= 1.4
    flips = drawn(layers.RandomFlip(), "flips")
    assert abs(flips.mean() - 0.5) < 6 * 0.5 / 2000**0.5
    bits = 8 - drawn(layers.RandomPosterization((2, 5)), "shift_factor").astype("int32")
    assert set(bits.tolist()) == {2, 3, 4}
    weight = drawn(layers.MixUp(0.4), "mix_weight")
    deviation = (0.25 / 1.8) ** 0.5
    assert abs(weight.mean() - 0.5) < 6 * deviation / 2000**0.5


@pytest.mark.parametrize("name", ["MixUp", pytest.param("CutMix", marks=pytest.mark.slow)])
def test_labels_are_mixed_as_images_are(name: str) -> None:
    theirs, ours = getattr(keras.layers, name)(), getattr(layers, name)()
    labels = np.eye(3, dtype="f")
    drawn = ours.get_random_transformation(BYTES)
    expected = theirs.transform_labels(labels, drawn)
    np.testing.assert_allclose(ours.transform_labels(labels, drawn), expected, 1e-6)
    mixed = getattr(layers, name)(seed=3)({"images": BYTES, "labels": labels})
    assert set(mixed) == {"images", "labels"}
    np.testing.assert_allclose(np.asarray(mixed["labels"]).sum(1), 1, 1e-5)


def test_segmentation_masks_move_with_images() -> None:
    masks = np.arange(3 * 6 * 7).reshape(3, 6, 7, 1).astype("f")
    both = {"images": masks, "segmentation_masks": masks}
    moved = layers.RandomRotation(0.2, interpolation="nearest", seed=1)(both)
    np.testing.assert_array_equal(moved["images"], moved["segmentation_masks"])
    assert not np.array_equal(moved["images"], masks)
    kept = layers.RandomContrast(0.5)(both)
    np.testing.assert_array_equal(kept["segmentation_masks"], masks)


def test_configs_of_symmetric_shears_can_be_read() -> None:
    for given in (0.3, (-0.3, 0.3)):  # Keras writes the second for the first, and cannot read it
        config = layers.RandomShear(given, 0.1).get_config()
        assert config["x_factor"] == 0.3
        assert keras.layers.RandomShear.from_config(config).x_factor == (-0.3, 0.3)


def test_a_pipeline_calls_its_layers() -> None:
    pipeline = layers.Pipeline([layers.RandomFlip("horizontal", seed=1), layers.AutoContrast()])
    expected = keras.layers.AutoContrast()(BYTES)
    np.testing.assert_allclose(pipeline(BYTES, training=False), expected, 1e-5, 1e-3)
    again = layers.Pipeline.from_config(pipeline.get_config())
    assert [type(layer).__name__ for layer in again.layers] == ["RandomFlip", "AutoContrast"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomFlip", {"mode": "diagonal"}),
        ("RandomRotation", {"factor": 2}),
        ("RandomRotation", {"factor": 0.1, "fill_mode": "mirror"}),
        ("RandomZoom", {"height_factor": -1}),
        ("RandomShear", {"x_factor": (-0.2, 0.1)}),
        ("RandomContrast", {"factor": (0.1, 0.2, 0.3)}),
        ("RandomGaussianBlur", {"kernel_size": 4}),
        ("RandomPosterization", {"factor": 9}),
        ("RandomBrightness", {"factor": 0.1, "value_range": 3}),
        ("MixUp", {"alpha": 0}),
    ],
)
def test_arguments_are_checked(name: str, arguments: Config) -> None:
    with pytest.raises(SpecError):
        getattr(layers, name)(**arguments)


def test_what_is_not_there_says_so() -> None:
    with pytest.raises(NotImplementedError, match="AugMix"):
        layers.AugMix()
    with pytest.raises(NotImplementedError, match="bounding boxes"):
        layers.MaxNumBoundingBoxes(3)
    with pytest.raises(NotImplementedError, match="bounding_boxes"):
        layers.RandomFlip()({"images": BYTES, "bounding_boxes": np.zeros((3, 1, 4), "f")})
