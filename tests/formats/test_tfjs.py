"""TF.js models, built by hand from Keras models in the forms of TF.js and of its converter."""

from __future__ import annotations

import builtins
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import tfjs
from kcompile.formats.loading import load_model
from kcompile.formats.place import Place
from kcompile.formats.reading import read_model
from kcompile.formats.tfjs_weights import Shards, read_manifest
from kcompile.ir.errors import FormatError

Config = dict[str, Any]
Weights = dict[str, np.ndarray]


def layer(class_name: str, name: str, **config: Any) -> Config:
    """A layer in the form of Keras 2."""
    return {"class_name": class_name, "config": {"name": name, **config}}


def sequential(*layers: Config, name: str = "model") -> Config:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def manifest_of(weights: Weights) -> tuple[list[Config], bytes]:
    entries = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in weights.items()
    ]
    return entries, b"".join(array.tobytes() for array in weights.values())


def write(
    folder: Path,
    config: Config,
    weights: Weights | None = None,
    *,
    entries: list[Config] | None = None,
    data: bytes = b"",
    shard: int = 10**9,
    version: str = "2.4.0",
    **changes: Any,
) -> Path:
    """A `model.json` and its shards of at most `shard` bytes, as the converter has them."""
    if entries is None:
        entries, data = manifest_of(weights or {})
    pieces = [data[start : start + shard] for start in range(0, len(data), shard)]
    names = [f"group1-shard{i + 1}of{len(pieces)}.bin" for i in range(len(pieces))]
    for name, piece in zip(names, pieces, strict=True):
        (folder / name).write_bytes(piece)
    spec = {
        "format": "layers-model",
        "generatedBy": f"keras v{version}",
        "convertedBy": "TensorFlow.js Converter v2.7.0",
        "modelTopology": {
            "keras_version": version,
            "backend": "tensorflow",
            "model_config": config,
            "training_config": {"loss": "mse"},
        },
        "weightsManifest": [{"paths": names, "weights": entries}],
        **changes,
    }
    path = folder / "model.json"
    path.write_text(json.dumps(spec))
    return path


def weights_of(model: Any, names: Callable[[str], str] = lambda path: path) -> Weights:
    """A Keras model's weights by names in the manner of Keras 2."""
    return {names(v.path.removeprefix("model/")): np.asarray(v.value) for v in model.weights}


@functools.cache
def prediction(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """An input, and what the Keras model makes of it."""
    random = np.random.default_rng(1)
    x = random.standard_normal((3, *model.inputs[0].shape[1:])).astype("float32")
    return x, np.asarray(model(x))


def assert_same(path: Path, model: Any) -> None:
    """The file at `path` predicts what the Keras model does."""
    x, expected = prediction(model)
    (actual,) = kcompile.compile(load_model(path), "reference").run(x).values()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def randomize(model: Any) -> Any:
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.uniform(0.1, 0.9, variable.shape).astype("float32"))
    return model


@functools.cache
def image_model() -> Any:
    L = keras.layers
    return randomize(
        keras.Sequential(
            [
                L.Input((8, 8, 2)),
                L.Conv2D(3, 3, activation="relu", name="conv"),
                L.BatchNormalization(name="norm"),
                L.DepthwiseConv2D(2, name="depthwise"),
                L.Flatten(name="flat"),
                L.Dense(4, activation="softmax", name="dense"),
            ],
            name="model",
        )
    )


IMAGE_CONFIG = sequential(
    layer(
        "Conv2D",
        "conv",
        batch_input_shape=[None, 8, 8, 2],
        dtype="float32",
        filters=3,
        kernel_size=[3, 3],
        activation="relu",
    ),
    layer("BatchNormalization", "norm", axis=[3]),
    layer("DepthwiseConv2D", "depthwise", kernel_size=[2, 2]),
    layer("Flatten", "flat", data_format="channels_last"),
    layer("Dense", "dense", units=4, activation="softmax"),
)


def image_weights() -> Weights:
    def name(path: str) -> str:
        return path.replace("depthwise/kernel", "depthwise/depthwise_kernel")

    return weights_of(image_model(), name)


def test_a_converted_model_in_one_shard_or_many(tmp_path: Path) -> None:
    for shard in (10**9, 100, 7):
        assert_same(write(tmp_path, IMAGE_CONFIG, image_weights(), shard=shard), image_model())


def test_names_decide_and_not_the_order(tmp_path: Path) -> None:
    weights = image_weights()
    assert_same(write(tmp_path, IMAGE_CONFIG, dict(reversed(weights.items()))), image_model())
    exchanged = {
        {"norm/gamma": "norm/beta", "norm/beta": "norm/gamma"}.get(name, name): array
        for name, array in weights.items()
    }
    model = load_model(write(tmp_path, IMAGE_CONFIG, exchanged))
    np.testing.assert_array_equal(model.get_layer("norm").beta.numpy(), weights["norm/gamma"])


def test_a_model_that_tfjs_saved(tmp_path: Path) -> None:
    topology = {**IMAGE_CONFIG, "keras_version": "tfjs-layers 4.22.0", "backend": "tensor_flow.js"}
    weights = image_weights()
    moving = {name: weights.pop(name) for name in list(weights) if "moving" in name}
    path = write(
        tmp_path,
        {},
        {**weights, **moving},
        modelTopology=topology,
        generatedBy="TensorFlow.js tfjs-layers v4.22.0",
        convertedBy=None,
        trainingConfig={"loss": "meanSquaredError"},
        userDefinedMetadata={"a": 1},
    )
    assert_same(path, image_model())
    assert tfjs.read(path).made_by == "TF.js (Keras 2.2.4 (tensorflow))"


@functools.cache
def recurrent_model() -> Any:
    L = keras.layers
    return randomize(
        keras.Sequential(
            [
                L.Input((5, 3)),
                L.Bidirectional(L.LSTM(2, name="lstm", return_sequences=True), name="both"),
                L.TimeDistributed(L.Dense(4, name="inner"), name="each"),
                L.GRU(3, reset_after=False, name="gru", return_sequences=True),
                L.LSTM(2, name="last"),
            ],
            name="model",
        )
    )


RECURRENT_CONFIG = sequential(
    layer(
        "Bidirectional",
        "both",
        batch_input_shape=[None, 5, 3],
        layer=layer("LSTM", "lstm", units=2, return_sequences=True, recurrent_activation="sigmoid"),
        merge_mode="concat",
    ),
    layer("TimeDistributed", "each", layer=layer("Dense", "inner", units=4)),
    layer("GRU", "gru", units=3, return_sequences=True, recurrent_activation="sigmoid"),
    layer("LSTM", "last", units=2, recurrent_activation="sigmoid"),
)


@pytest.mark.parametrize(
    "cells",
    [
        {"lstm_cell/": "", "gru_cell/": ""},
        {"lstm_cell/": "lstm_cell_7/", "gru_cell/": "gru_cell_3/"},
        {"both/": "", "lstm_cell/": "", "gru_cell/": ""},
    ],
    ids=["before TF 2.2", "numbered cells", "TF.js"],
)
def test_cells_and_wrappers_have_names_in_the_ways_of_their_writers(
    tmp_path: Path, cells: dict[str, str]
) -> None:
    def name(path: str) -> str:
        for old, new in cells.items():
            path = path.replace(old, new)
        return path.replace("each/inner/", "each/")

    model = recurrent_model()
    assert_same(write(tmp_path, RECURRENT_CONFIG, weights_of(model, name)), model)


@functools.cache
def nested_model() -> Any:
    L = keras.layers
    inner = keras.Sequential([L.Input((4,)), L.Dense(3, name="a"), L.Dense(3, name="b")], name="in")
    layers = [L.Input((4,)), inner, L.Dense(2, name="c")]
    return randomize(keras.Sequential(layers, name="model"))


NESTED_CONFIG = sequential(
    sequential(
        layer("Dense", "a", units=3, batch_input_shape=[None, 4]),
        layer("Dense", "b", units=3),
        name="in",
    ),
    layer("Dense", "c", units=2),
)


@pytest.mark.parametrize("prefix", ["", "in/"])
def test_nested_models(tmp_path: Path, prefix: str) -> None:
    def name(path: str) -> str:
        return prefix + path.removeprefix("in/") if path.startswith("in/") else path

    model = nested_model()
    assert_same(write(tmp_path, NESTED_CONFIG, weights_of(model, name)), model)


def test_weights_that_are_numbered_by_keras_3(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.layers.Input((3,)),
            keras.layers.Dense(4, name="d"),
            keras.layers.LayerNormalization(name="n"),
        ]
    )
    randomize(model)
    arrays = iter(map(np.asarray, model.get_weights()))
    weights = {name: next(arrays) for name in ("d/0", "d/1", "n/0", "n/1")}
    config = json.loads(model.to_json())
    assert_same(write(tmp_path, config, weights, version="3.5.0"), model)


# Quantization

DENSE_CONFIG = sequential(layer("Dense", "d", units=2, batch_input_shape=[None, 2]))


def dense_entries(kernel: Config, bias: Config | None = None) -> list[Config]:
    return [
        {"name": "d/kernel", "shape": [2, 2], "dtype": "float32", **kernel},
        {"name": "d/bias", "shape": [2], "dtype": "float32", **(bias or {})},
    ]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"dtype": "uint8", "scale": 0.1, "min": -3.0}, [[-3.0, -2.9], [-2.8, 22.5]]),
        ({"dtype": "uint16", "scale": 0.5, "min": 1, "original_dtype": "float32"}, None),
        ({"dtype": "float16"}, None),
    ],
    ids=["uint8", "uint16", "float16"],
)
def test_quantized_weights(tmp_path: Path, stored: Config, expected: Any) -> None:
    numbers = np.array([[0, 1], [2, 255]], stored["dtype"])
    data = numbers.tobytes() + np.array([0.25, -0.5], "float32").tobytes()
    path = write(tmp_path, DENSE_CONFIG, entries=dense_entries({"quantization": stored}), data=data)
    model = load_model(path)
    if expected is None:
        expected = numbers.astype("float64") * stored.get("scale", 1) + stored.get("min", 0)
    np.testing.assert_array_equal(model.layers[-1].kernel.numpy(), np.float32(expected))
    np.testing.assert_array_equal(model.layers[-1].bias.numpy(), [0.25, -0.5])


def test_quantized_integers_are_rounded_half_up(tmp_path: Path) -> None:
    entry = {
        "name": "n",
        "shape": [4],
        "dtype": "int32",
        "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
    }
    (tmp_path / "shard").write_bytes(bytes([0, 1, 2, 3]))
    groups = [{"paths": ["shard"], "weights": [entry]}]
    weight = read_manifest(groups, tmp_path, Place("model.json"))["n"]
    np.testing.assert_array_equal(weight.read(), [-1, 0, 0, 1])  # of -1, -0.5, 0, 0.5


# What is refused


def test_a_graph_model_is_refused_by_name(tmp_path: Path) -> None:
    for changes in ({"format": "graph-model"}, {"modelTopology": {"node": []}}):
        path = write(tmp_path, DENSE_CONFIG, {}, **changes)
        with pytest.raises(FormatError, match="model.json: format: a graph-model of TF.js"):
            load_model(path)


ARRAYS = {"d/kernel": np.ones((2, 2), "float32"), "d/bias": np.ones(2, "float32")}


@pytest.mark.parametrize(
    "name",
    [
        "../secret.bin",
        "/etc/hostname",
        "sub/secret.bin",
        "..",
        "",
        "..\\secret.bin",
        "C:secret.bin",
        "https://example.com/x.bin",
        "secret\0.bin",
        7,
    ],
)
def test_shards_elsewhere_are_refused_and_not_opened(
    tmp_path: Path, name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "secret.bin").write_bytes(bytes(24))
    entries, _ = manifest_of(ARRAYS)
    path = write(folder, DENSE_CONFIG, weightsManifest=[{"paths": [name], "weights": entries}])
    opened: list[str] = []
    real = builtins.open

    def watched(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", watched)
    with pytest.raises(FormatError, match=r"\[0\]: needs the name of a file beside model.json"):
        load_model(path)
    assert not [file for file in opened if "secret" in file or "hostname" in file]


def entry(**changes: Any) -> list[Config]:
    return dense_entries(changes)


def quantized(**changes: Any) -> list[Config]:
    return entry(quantization={"dtype": "uint8", "scale": 1.0, "min": 0.0, **changes})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (entry(dtype="complex64"), r"weights\[0\].dtype: needs one of float32"),
        (entry(dtype=["float32"]), r"weights\[0\].dtype: needs one of float32"),
        (entry(shape=[2, -2]), r"weights\[0\].shape: needs sizes"),
        (entry(shape=[2, 2.0]), r"weights\[0\].shape: needs sizes"),
        (entry(shape=[2**40, 2**40]), "the weights need 4835703278458516698824712 bytes"),
        (entry(shape=[2, 3]), "the weights need 32 bytes, and the shards have 24"),
        (entry(colour=1), r"weights\[0\].colour: this key is not understood"),
        (entry(name=3), r"weights\[0\].name: needs a string"),
        (quantized(dtype="int4"), "quantization.dtype: float32 may be uint8, uint16, float16"),
        (quantized(scale="1"), "quantization.scale: needs a number"),
        (quantized(original_dtype="int32"), "original_dtype: needs 'float32', got 'int32'"),
        (quantized(zero=1), "quantization.zero: this key is not understood"),
        (entry(quantization={"dtype": "uint8"}), "quantization: the key 'scale' is missing"),
        (entry(name="d/bias"), r"weights\[1\]: the weight 'd/bias' stands there twice"),
    ],
)
def test_malformed_manifests(tmp_path: Path, entries: list[Config], message: str) -> None:
    path = write(tmp_path, DENSE_CONFIG, entries=entries, data=bytes(24))
    with pytest.raises(FormatError, match=message):
        tfjs.read(path)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"d/kernel": ARRAYS["d/kernel"]}, r"the file lacks: d/bias f32\[2\]"),
        ({**ARRAYS, "e/kernel": np.ones(3, "float32")}, "the model has no place for: e/kernel"),
        (
            {**ARRAYS, "d/bias": np.ones(3, "float32")},
            r"'bias' of layer 'd' needs shape \[2\]",
        ),
        ({**ARRAYS, "d/bias": np.ones(99, "float32")}, r"'bias' of layer 'd' needs shape \[2\]"),
        ({**ARRAYS, "d/bias": np.float32([1, np.nan])}, "1 of 2 elements are NaN"),
        ({**ARRAYS, "x/y/d/bias": np.ones(2, "float32")}, "no place for: x/y/d/bias"),
        ({**ARRAYS, "d/cell/bias": np.ones(2, "float32")}, "'d/cell/bias' may be that of 'd/bias'"),
    ],
)
def test_weights_that_do_not_fit_leave_the_model_as_it_was(
    tmp_path: Path, weights: Weights, message: str
) -> None:
    path = write(tmp_path, DENSE_CONFIG, weights)
    spec = tfjs.read(path)
    model = read_model(spec.config, spec.place)
    before = [variable.numpy() for variable in model.weights]
    assert spec.fill is not None
    with pytest.raises(FormatError, match=message):
        spec.fill(model)
    for old, variable in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_a_weight_that_may_be_one_of_two_is_refused(tmp_path: Path) -> None:
    inner = sequential(layer("Dense", "d", units=2, batch_input_shape=[None, 2]), name="one")
    config = sequential(inner, {**inner, "config": {**inner["config"], "name": "two"}})
    with pytest.raises(FormatError, match="may be that of 'one/d/kernel', 'two/d/kernel'"):
        load_model(write(tmp_path, config, ARRAYS))


def test_the_optimizers_weights_are_left_out(tmp_path: Path) -> None:
    entries, data = manifest_of({**ARRAYS, "adam/m": np.ones(2, "float32")})
    entries[2]["group"] = "optimizer"
    model = load_model(write(tmp_path, DENSE_CONFIG, entries=entries, data=data))
    np.testing.assert_array_equal(model.layers[-1].kernel.numpy(), ARRAYS["d/kernel"])


def test_a_shard_that_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(bytes(4))
    with pytest.raises(FormatError, match="the shard 's' ends too soon"):
        Shards((path,), (8,)).read(0, 8, Place("model.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "format: needs 'layers-model', got 'other'"),
        ({"modelInitializer": {}}, "modelInitializer: this key is not understood"),
        ({"modelTopology": []}, "modelTopology: needs an object"),
        ({"modelTopology": {"foo": 1}}, "modelTopology.foo: this key is not understood"),
        ({"modelTopology": {"keras_version": 2}}, "keras_version: needs a string"),
        ({"weightsManifest": {}}, "weightsManifest: needs a list"),
    ],
)
def test_malformed_files(tmp_path: Path, changes: Config, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load_model(write(tmp_path, DENSE_CONFIG, ARRAYS, **changes))


def test_without_a_manifest_there_are_no_weights(tmp_path: Path) -> None:
    path = write(tmp_path, DENSE_CONFIG)
    spec = json.loads(path.read_text())
    del spec["weightsManifest"]
    path.write_text(json.dumps(spec))
    assert tfjs.read(path).fill is None
    kcompile.utils.set_random_seed(0)
    assert load_model(path).count_params() == 6
