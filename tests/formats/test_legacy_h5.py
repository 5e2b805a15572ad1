"""Legacy `.h5` files of whole models: as Keras writes them, all or nothing, and without trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats.legacy import h5_file
from kcompile.formats.loading import load_model
from kcompile.ir.errors import FormatError, KCompileError
from tests.conformance import checks
from tests.conformance.case import Case
from tests.conformance.tables import CASES
from tests.formats.legacy import loaded, saved_by_keras
from tests.formats.models import MODELS, assert_same_outputs, frozen, nested, randomize

#: Layers whose weights stand in a file in ways of their own.
QUICK = (
    *("BatchNormalization", "Bidirectional", "Dense", "GRU", "Normalization", "SeparableConv1D"),
    *("StackedRNNCells", "TimeDistributed"),
)


def each_case() -> Any:
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                id=str(case),
                marks=() if case.is_first and case.layer in QUICK else pytest.mark.slow,
            )
            for case in CASES
        ],
    )


@each_case()
def test_every_layer_saved_by_keras_predicts_the_same(case: Case, tmp_path: Path) -> None:
    """As ours with the same weights does, which other tests hold against Keras."""
    ours, theirs = checks.pair(case)
    inputs = case.arrays(ours, 3)
    again = loaded(saved_by_keras(theirs, tmp_path / "k.h5"))
    checks.all_close(checks.by_reference(again, inputs), checks.by_reference(ours, inputs))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, marks=() if make is nested else pytest.mark.slow)
        for make in MODELS.values()
    ],
    ids=MODELS,
)
def test_models_saved_by_keras_predict_the_same(make: Callable[[Any], Any], tmp_path: Path) -> None:
    keras.utils.clear_session()
    theirs = make(keras)
    randomize(theirs)
    assert_same_outputs(loaded(saved_by_keras(theirs, tmp_path / "k.h5")), theirs)


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    spec = h5_file.read(saved_by_keras(small(keras), tmp_path / "k.h5"))
    assert spec.made_by == "Keras 3.15.1 (jax)"
    assert str(spec.place) == "k.h5: model_config"
    assert spec.training is None


# Which array is which weight


def partly_frozen(k: Any) -> Any:
    """Frozen layers in a model in a model: files list their weights last."""
    inner = k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(4, name="first", trainable=False),
            k.layers.BatchNormalization(name="norm"),
            k.layers.Dense(4, name="second"),
        ],
        name="inner",
    )
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.Dense(4, name="last")(inner(x)), name="outer")


def frozen_in_code(k: Any) -> Any:
    model = partly_frozen(k)
    model.get_layer("inner").trainable = False
    model.get_layer("inner").layers[2].trainable = True
    return model


@pytest.mark.parametrize(
    "make", [partly_frozen, frozen_in_code, pytest.param(frozen, marks=pytest.mark.slow)]
)
def test_frozen_layers_inside(make: Callable[[Any], Any], tmp_path: Path) -> None:
    keras.utils.clear_session()
    theirs = make(keras)
    randomize(theirs)
    assert_same_outputs(loaded(saved_by_keras(theirs, tmp_path / "k.h5")), theirs)


def test_names_tell_where_the_order_does_not(tmp_path: Path) -> None:
    """Layers that were frozen after the config was written: the shapes alone fit twice."""
    keras.utils.clear_session()
    theirs = partly_frozen(keras)
    randomize(theirs)
    saved_by_keras(theirs, tmp_path / "k.h5")
    with h5py.File(tmp_path / "k.h5", "a") as file:
        text = file.attrs["model_config"]
        assert text.count('"name": "first", "trainable": false') == 1
        file.attrs["model_config"] = text.replace(
            '"name": "first", "trainable": false', '"name": "first", "trainable": true'
        )
    assert_same_outputs(loaded(tmp_path / "k.h5"), theirs)


def test_layers_in_another_order_are_found_by_name(tmp_path: Path) -> None:
    keras.utils.clear_session()
    theirs = nested(keras)
    randomize(theirs)
    saved_by_keras(theirs, tmp_path / "k.h5")
    with h5py.File(tmp_path / "k.h5", "a") as file:
        names = file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names"] = np.array(names[::-1], dtype="S")
    assert_same_outputs(loaded(tmp_path / "k.h5"), theirs)


def test_names_in_several_attributes(tmp_path: Path) -> None:
    keras.utils.clear_session()
    theirs = nested(keras)
    randomize(theirs)
    saved_by_keras(theirs, tmp_path / "k.h5")
    with h5py.File(tmp_path / "k.h5", "a") as file:
        for group in (file["model_weights"], file["model_weights/inner"]):
            for name in [n for n in group.attrs if n.endswith("_names")]:
                values = list(group.attrs[name])
                del group.attrs[name]
                for index, part in enumerate(np.array_split(np.array(values, "S"), 3)):
                    group.attrs[f"{name}{index}"] = part
    assert_same_outputs(loaded(tmp_path / "k.h5"), theirs)


# Failures

NAME = "k.h5"
DENSE = "model_weights/second"
KERNEL = f"{DENSE}/outer/second/kernel"


def small(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(4, activation="tanh", name="first"),
            k.layers.BatchNormalization(name="norm"),
            k.layers.Dense(3, name="second"),
        ],
        name="outer",
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model = small(keras)
    randomize(model)
    return saved_by_keras(model, tmp_path_factory.mktemp("k") / NAME).read_bytes()


@pytest.fixture
def saved(original: bytes, tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(original)
    return tmp_path / NAME


def put(name: str, data: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = data

    return change


def attribute(group: str, name: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file[group].attrs.__setitem__(name, value)


def without(group: str, name: str) -> Callable[[h5py.File], None]:
    return lambda file: file[group].attrs.__delitem__(name)


def removed(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def with_nan(file: h5py.File) -> None:
    file[KERNEL][1, 2] = np.nan


def bomb(file: h5py.File) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, (2**25, 2**25), "float32", chunks=(64, 64), compression="gzip")


def linked(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = h5py.ExternalLink("/etc/passwd", "/x")

    return change


def external(file: h5py.File) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, (4, 3), "float32", external=[("/etc/passwd", 0, 48)])


def with_lambda(file: h5py.File) -> None:
    """Bytecode of a function that Keras 2 would make and call (CVE-2024-3660, CVE-2025-9905)."""
    config = json.loads(file.attrs["model_config"])
    function = ["4wEAAAAAAAAAAAAAAAEAAAABAAAAQwAAAHMEAAAAfABTAA==", None, None]
    config["config"]["layers"].append(
        {
            "class_name": "Lambda",
            "config": {"name": "evil", "function": function, "function_type": "lambda"},
        }
    )
    file.attrs["model_config"] = json.dumps(config)
    file.attrs["keras_version"] = "2.3.1"


DAMAGES: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "no config": (without("/", "model_config"), r"k\.h5: model_config: there is none: the file"),
    "no JSON": (attribute("/", "model_config", "{"), r"k\.h5: model_config: it is not JSON"),
    "NaN in the config": (
        attribute("/", "model_config", '{"a": NaN}'),
        r"model_config: NaN is not a number of JSON",
    ),
    "config of a number": (
        attribute("/", "model_config", 3),
        r"k\.h5: model_config: needs text, got int64",
    ),
    "version": (attribute("/", "keras_version", "x"), r"k\.h5: keras_version: is no version: 'x'"),
    "backend": (attribute("/", "backend", "os"), r"k\.h5: backend: is no backend of Keras: 'os'"),
    "training config": (
        attribute("/", "training_config", "[]"),
        r"k\.h5: training_config: needs an object, got \[\]",
    ),
    "no layer names": (
        without("model_weights", "layer_names"),
        r"k\.h5: model_weights: the attribute 'layer_names' is missing",
    ),
    "missing group": (
        removed(DENSE),
        r"k\.h5: model_weights/second: there is no such group, which 'layer_names' names",
    ),
    "missing array": (
        removed(KERNEL),
        r"model_weights/second: there is no array 'outer/second/kernel', which",
    ),
    "missing layer": (
        attribute(DENSE, "weight_names", []),
        r"k\.h5: model_weights: no layer has the arrays model_weights/second/outer/second/bias,"
        r" model_weights/second/outer/second/kernel",
    ),
    "fewer layers": (
        lambda file: (
            attribute(DENSE, "weight_names", [])(file),
            removed(f"{DENSE}/outer")(file),
        ),
        r"the model has 3 layers with weights: 'first', 'norm', 'second'; the file has 2: 'first'"
        r" \(outer/first/kernel \[4,4\], outer/first/bias \[4\]\), 'norm'",
    ),
    "surplus array": (
        put("model_weights/second/other", np.ones(3)),
        r"k\.h5: model_weights: no layer has the arrays model_weights/second/other",
    ),
    "surplus group": (
        put("model_weights/third/outer/third/kernel", np.ones(3)),
        r"no layer has the arrays model_weights/third/outer/third/kernel",
    ),
    "named twice": (
        attribute(DENSE, "weight_names", ["outer/second/kernel", "outer/second/kernel"]),
        r"model_weights/second: the array 'outer/second/kernel' is named twice",
    ),
    "a group as array": (
        attribute(DENSE, "weight_names", ["outer/second", "outer/second/bias"]),
        r"model_weights/second: there is no array 'outer/second'",
    ),
    "a path to elsewhere": (
        attribute(DENSE, "weight_names", ["../first/outer/first/kernel", "/keras_version"]),
        r"model_weights/second: there is no array '\.\./first",
    ),
    "number": (
        lambda file: (
            attribute(DENSE, "weight_names", ["outer/second/kernel"])(file),
            removed(f"{DENSE}/outer/second/bias")(file),
        ),
        r"second \(layer 'second'\): needs 2 weights \(kernel \[4,3\], bias \[3\]\), got 'second'"
        r" \(outer/second/kernel \[4,3\]\)",
    ),
    "shape": (
        put(KERNEL, np.ones((3, 4), "float32")),
        r"k\.h5: model_weights/second \(layer 'second'\): the weight 'kernel' needs shape \[4,3\],"
        r" got \[3,4\]",
    ),
    "type": (
        put(KERNEL, np.full((4, 3), 0.1)),
        r"\(layer 'second'\): the weight 'kernel' needs float32, got float64",
    ),
    "strings": (
        put(KERNEL, np.array([["a"] * 3] * 4, h5py.string_dtype())),
        r"kernel \(layer 'second'\): its elements are no numbers, but object",
    ),
    "nothing": (put(KERNEL, h5py.Empty("f4")), r"kernel \(layer 'second'\): it holds nothing"),
    "nan": (with_nan, r"outer/second/kernel \(layer 'second'\): 1 of 12 elements are NaN"),
    "link in the weights": (
        linked(DENSE),
        r"k\.h5: model_weights/second: it is a link to another place",
    ),
    "link to the weights": (
        linked("model_weights"),
        r"k\.h5: model_weights: it is a link to another place",
    ),
    "external storage": (external, r"second/kernel: its data are in another file"),
    "bytecode": (with_lambda, r"layers\[4\].*: a Lambda layer holds bytecode of Python, which is"),
    "bomb": (bomb, r"needs 2 weights .*, got 'second' \(outer/second/kernel \[33554432,33554432\]"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_all_or_nothing(damage: Callable[[h5py.File], Any], message: str, saved: Path) -> None:
    with h5py.File(saved, "a") as file:
        damage(file)
    with pytest.raises(FormatError, match=message):
        loaded(saved)


def test_a_file_that_does_not_say_the_shape_of_the_inputs(saved: Path) -> None:
    with h5py.File(saved, "a") as file:
        config = json.loads(file.attrs["model_config"])
        del config["config"]["layers"][0], config["config"]["build_input_shape"]
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(
        FormatError, match=r"k\.h5: model_weights: the file does not say of what sh"
    ):
        loaded(saved)


@pytest.mark.parametrize("part", ["all", "config"])
def test_damaged_bytes(part: str, original: bytes, saved: Path) -> None:
    """A typed error or a model, whatever is damaged."""
    rng = np.random.default_rng(0)
    start = original.index(b'{"class_name"') if part == "config" else 0
    end = start + 2000 if part == "config" else len(original)
    outcomes = set()
    for position in rng.integers(start, end, 100):
        damaged = bytearray(original)
        damaged[position] = int(rng.integers(32, 127))
        saved.write_bytes(damaged)
        try:
            outcomes.add(type(load_model(saved, compile=False)))
        except KCompileError as error:
            outcomes.add(type(error))
    assert {kcompile.Sequential, FormatError} <= outcomes


def test_nothing_is_assigned_if_the_last_layer_does_not_fit(saved: Path) -> None:
    with h5py.File(saved, "a") as file:
        put(KERNEL, np.ones((3, 4), "float32"))(file)
    spec = h5_file.read(saved)
    model = small(kcompile)
    before = model.get_weights()
    assert spec.fill is not None
    with pytest.raises(FormatError):
        spec.fill(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_other_groups_are_not_of_the_model(saved: Path) -> None:
    """Keras ignores them, and some projects keep their own data there."""
    with h5py.File(saved, "a") as file:
        file["statistics/mean"] = np.ones(3)
        file.attrs["author"] = "me"
    loaded(saved)


# Training


def test_training_goes_on_from_a_file_of_keras(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)).astype("f"), rng.normal(size=(6, 3)).astype("f")
    theirs = small(keras)
    randomize(theirs)
    theirs.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError(), metrics=["mae"])
    options: dict[str, Any] = {"batch_size": 2, "shuffle": False, "verbose": 0}
    theirs.fit(x, y, **options)
    ours = load_model(saved_by_keras(theirs, tmp_path / NAME))
    for model in (ours, theirs):
        model.fit(x, y, **options)
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def compiled(path: Path) -> Path:
    model = small(keras)
    model.compile("adam", keras.losses.MeanSquaredError())
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 3)))
    return saved_by_keras(model, path)


def test_the_state_of_an_optimizer_that_keras_2_wrote(tmp_path: Path) -> None:
    """All of the first moments came before the second: Keras 3 starts anew, and so do we."""
    path = compiled(tmp_path / NAME)
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "2.4.0"
        group = file["optimizer_weights"]
        names = list(group.attrs["weight_names"])
        group.attrs["weight_names"] = [names[0], *names[2::2], *names[3::2]]
    with pytest.warns(UserWarning, match=r"k\.h5: optimizer_weights: the file has 13 arrays"):
        model = load_model(path)
    assert int(model.optimizer.iterations) == 0


def test_the_state_of_another_optimizer(tmp_path: Path) -> None:
    path = compiled(tmp_path / NAME)
    with h5py.File(path, "a") as file:
        group = file["optimizer_weights"]
        group.attrs["weight_names"] = list(group.attrs["weight_names"])[:-1]
    with pytest.raises(FormatError, match=r"optimizer_weights: the file has 13 arrays for the opt"):
        load_model(path)
    loaded(path)  # the state is no part of the model


def test_an_optimizer_that_was_not_used_yet(tmp_path: Path) -> None:
    model = small(keras)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), keras.losses.MeanSquaredError())
    model.optimizer.build([])
    ours = load_model(saved_by_keras(model, tmp_path / NAME))
    assert (ours.optimizer.learning_rate, ours.optimizer.momentum) == (0.5, 0.9)


OLD_TRAINING = {
    "optimizer_config": {
        "class_name": "SGD",
        "config": {"lr": 0.1, "momentum": 0.9, "decay": 0.01, "nesterov": True},
    },
    "loss": "categorical_crossentropy",
    "metrics": ["accuracy"],
    "sample_weight_mode": None,
    "loss_weights": None,
}
NEWER_TRAINING = {
    "optimizer_config": {
        "class_name": "Adam",
        "config": {
            "name": "Adam",
            "learning_rate": {
                "class_name": "ExponentialDecay",
                "config": {
                    "initial_learning_rate": 0.1,
                    "decay_steps": 10,
                    "decay_rate": 0.5,
                    "staircase": False,
                    "name": None,
                },
            },
            "decay": 0.0,
            "epsilon": None,
            "is_legacy_optimizer": True,
        },
    },
    "loss": {
        "class_name": "MeanSquaredError",
        "config": {"reduction": "auto", "name": "mean_squared_error"},
    },
    "metrics": [
        [
            {
                "class_name": "MeanMetricWrapper",
                "config": {"name": "mae", "dtype": "float32", "fn": "mean_absolute_error"},
            }
        ]
    ],
    "weighted_metrics": None,
    "loss_weights": None,
}


def with_training(path: Path, config: Any) -> Path:
    with h5py.File(path, "a") as file:
        file.attrs["training_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = "2.2.4"
    return path


def test_training_as_keras_2_described_it(saved: Path) -> None:
    model = load_model(with_training(saved, OLD_TRAINING))
    optimizer = model.optimizer
    assert (type(optimizer).__name__, optimizer.momentum, optimizer.nesterov) == ("SGD", 0.9, True)
    rates = [optimizer.learning_rate_at(step) for step in (0, 1, 50)]
    np.testing.assert_allclose(rates, [0.1 / (1 + 0.01 * step) for step in (0, 1, 50)], rtol=1e-6)
    results = model.evaluate(np.ones((2, 4)), np.eye(3)[:2], verbose=0, return_dict=True)
    assert set(results) == {"loss", "accuracy"}


def test_training_as_later_keras_2_described_it(saved: Path) -> None:
    model = load_model(with_training(saved, NEWER_TRAINING))
    assert model.optimizer.epsilon == 1e-7
    np.testing.assert_allclose(model.optimizer.learning_rate_at(10), 0.05, rtol=1e-6)
    x, y = np.ones((2, 4), "f"), np.full((2, 3), 2, "f")
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = np.asarray(model(x))
    np.testing.assert_allclose(results["loss"], ((outputs - y) ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(results["mae"], np.abs(outputs - y).mean(), rtol=1e-5)


def test_a_loss_of_the_users_own_is_refused_only_where_it_is_needed(saved: Path) -> None:
    config = {**OLD_TRAINING, "loss": "my_loss"}
    with_training(saved, config)
    with pytest.raises(FormatError, match=r"k\.h5.*my_loss"):
        load_model(saved)
    load_model(saved, compile=False)


# Numbers of other types


def test_keras_2_in_double_precision(saved: Path) -> None:
    with h5py.File(saved, "a") as file:
        file.attrs["keras_version"] = "2.1.0"
        put(KERNEL, np.full((4, 3), 0.1))(file)
    kernel = loaded(saved).weights[-2].numpy()
    np.testing.assert_array_equal(kernel, np.full((4, 3), 0.1, "float32"))
    with h5py.File(saved, "a") as file:
        put(KERNEL, np.full((4, 3), 1e300))(file)
    with pytest.raises(FormatError, match=r"the weight 'kernel' needs float32, got float64"):
        loaded(saved)


def test_half_precision_is_widened(saved: Path) -> None:
    values = np.linspace(-1, 1, 12).astype("float16").reshape(4, 3)
    with h5py.File(saved, "a") as file:
        put(KERNEL, values)(file)
    np.testing.assert_array_equal(loaded(saved).weights[-2].numpy(), values)


def test_tokens_that_are_floats_are_compiled(tmp_path: Path) -> None:
    """Keras 2 fed embeddings with floats, and verification has to draw some that are tokens."""
    theirs = keras.Sequential(
        [keras.Input((300,)), keras.layers.Embedding(5, 2), keras.layers.Flatten()]
    )
    ours = loaded(saved_by_keras(theirs, tmp_path / NAME))
    tokens = np.arange(300)[None].astype("float32") % 5
    (found,) = kcompile.compile(ours).run({ours.input_names[0]: tokens}).values()
    np.testing.assert_array_equal(found, theirs(tokens))
