"""Legacy `.h5` files that we write: Keras reads them, and so do we; whole or not at all."""

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
from kcompile.formats.legacy import h5_writer
from kcompile.formats.loading import load_model
from kcompile.formats.weights import load_weights
from kcompile.ir.errors import SpecError
from tests.conformance import checks
from tests.conformance.case import Case
from tests.conformance.tables import CASES
from tests.formats.legacy import loaded, saved_by_keras
from tests.formats.models import MODELS, assert_same_outputs, frozen, nested, randomize

NAME = "m.h5"
#: Layers that stand in a file in ways of their own.
QUICK = ("BatchNormalization", "Bidirectional", "Dense", "MultiHeadAttention", "StackedRNNCells")


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
def test_keras_predicts_the_same_with_every_layer(case: Case, tmp_path: Path) -> None:
    ours, theirs = checks.pair(case)
    h5_writer.write(ours, tmp_path / NAME)
    again = keras.models.load_model(tmp_path / NAME, compile=False)
    for found, wanted in zip(again.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy(), wanted.path)
    inputs = case.arrays(ours, 3)
    expected = checks.by_reference(ours, inputs)
    checks.all_close(again(checks.packed(inputs)), expected)
    checks.all_close(checks.by_reference(loaded(tmp_path / NAME), inputs), expected)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, marks=() if make is nested else pytest.mark.slow)
        for make in MODELS.values()
    ],
    ids=MODELS,
)
def test_models_go_to_keras_and_back(make: Callable[[Any], Any], tmp_path: Path) -> None:
    kcompile.utils.clear_session()
    keras.utils.clear_session()
    ours = make(kcompile)
    randomize(ours)
    h5_writer.write(ours, tmp_path / NAME)
    theirs = keras.models.load_model(tmp_path / NAME)
    assert_same_outputs(ours, theirs)
    assert_same_outputs(loaded(saved_by_keras(theirs, tmp_path / "k.h5")), theirs)


def small(k: Any) -> Any:
    return k.Sequential(
        [k.Input((4,)), k.layers.Dense(5, "tanh", name="a"), k.layers.Dense(3, name="b")],
        name="small",
    )


def content(path: Path) -> dict[str, Any]:
    """Every array with its path, and the lists of names."""
    found: dict[str, Any] = {}

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            found[name] = entry[()]
        for key in ("layer_names", "weight_names"):
            if key in entry.attrs:
                found[f"{name}@{key}"] = [
                    n.decode() if isinstance(n, bytes) else n for n in entry.attrs[key]
                ]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def trained(k: Any, optimizer: Any) -> Any:
    model = small(k)
    randomize(model)
    model.compile(optimizer, k.losses.MeanSquaredError(), metrics=["mae"])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)).astype("f"), rng.normal(size=(6, 3)).astype("f")
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    return model


def test_arrays_of_weights_and_optimizer_are_those_that_keras_writes(tmp_path: Path) -> None:
    """The names leave out the model's, under which Keras makes them; their order is the same."""
    theirs = trained(keras, keras.optimizers.Adam(0.01, name="adam"))
    saved_by_keras(theirs, tmp_path / "k.h5")
    h5_writer.write(load_model(tmp_path / "k.h5"), tmp_path / NAME)

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(entry) for entry in value]
        if isinstance(value, str):
            return value.replace("small/", "").replace("adam/small_", "adam/")
        return value

    mine = {renamed(key): renamed(value) for key, value in content(tmp_path / NAME).items()}
    other = {renamed(key): renamed(value) for key, value in content(tmp_path / "k.h5").items()}
    for key in ("model_weights/a", "model_weights/b"):
        mine[f"{key}@weight_names"] = other[f"{key}@weight_names"]
    arrays = {key.replace("/a/a/", "/a/").replace("/b/b/", "/b/") for key in mine}
    assert arrays == {key.replace("/a/a/", "/a/").replace("/b/b/", "/b/") for key in other}
    assert mine["optimizer_weights@weight_names"] == other["optimizer_weights@weight_names"]


@pytest.mark.parametrize(
    "name",
    ["Adam", *(pytest.param(n, marks=pytest.mark.slow) for n in ("SGD", "RMSprop", "Nadam"))],
)
def test_training_goes_on(name: str, tmp_path: Path) -> None:
    """In ours from our file; and in Keras, with the state that the file lists in Keras's order.

    Keras 3.15 itself builds an optimizer for no weights when it loads such a file, its own too,
    and cannot train on: so it is built for the weights here.
    """
    ours = trained(kcompile, getattr(kcompile.optimizers, name)(0.01))
    h5_writer.write(ours, tmp_path / NAME)
    again = load_model(tmp_path / NAME)
    theirs = keras.models.load_model(tmp_path / NAME, compile=False)
    theirs.compile(getattr(keras.optimizers, name)(0.01), keras.losses.MeanSquaredError())
    theirs.optimizer.build(theirs.trainable_variables)
    with h5py.File(tmp_path / NAME) as file:
        group = file["optimizer_weights"]
        state = [group[path][()] for path in group.attrs["weight_names"]]
    theirs.optimizer.set_weights(state)
    assert len(state) == len(theirs.optimizer.variables)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 4)).astype("f"), rng.normal(size=(6, 3)).astype("f")
    for model in (ours, again, theirs):
        model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    for wanted, found, by_keras in zip(
        ours.get_weights(), again.get_weights(), theirs.get_weights(), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(by_keras, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    ["mse", *(pytest.param(loss, marks=pytest.mark.slow) for loss in ("bce", ["kld"]))],
    ids=str,
)
def test_keras_compiles_as_the_file_says(loss: Any, tmp_path: Path) -> None:
    ours = small(kcompile)
    ours.compile("rmsprop", loss, metrics=["mae"], weighted_metrics=["mse"], loss_weights=None)
    h5_writer.write(ours, tmp_path / NAME)
    theirs = keras.models.load_model(tmp_path / NAME)
    x, y = np.ones((2, 4), "f"), np.full((2, 3), 0.5, "f")
    results = theirs.evaluate(x, y, verbose=0, return_dict=True)
    wanted = ours.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["loss"], wanted["loss"], rtol=1e-5)
    again = load_model(tmp_path / NAME).evaluate(x, y, verbose=0, return_dict=True)
    assert again.keys() == wanted.keys()
    np.testing.assert_allclose(list(again.values()), list(wanted.values()), rtol=1e-6)


def test_the_model_alone(tmp_path: Path) -> None:
    ours = small(kcompile)
    ours.compile("adam", "mse")
    h5_writer.write(ours, tmp_path / NAME, include_optimizer=False)
    with h5py.File(tmp_path / NAME) as file:
        assert set(file) == {"model_weights"}
        assert set(file.attrs) == {"backend", "keras_version", "model_config"}
        assert json.loads(file.attrs["model_config"])["class_name"] == "Sequential"


def test_long_lists_of_names_stand_in_several_attributes(tmp_path: Path) -> None:
    """A header holds 64 KiB: here are 165 layers with names of 400 letters."""
    layers = [
        kcompile.layers.Dense(1, use_bias=False, name=f"{'x' * 396}{i:04}") for i in range(165)
    ]
    ours = kcompile.Sequential([kcompile.Input((1,)), *layers], name="long")
    randomize(ours)
    h5_writer.write(ours, tmp_path / NAME)
    with h5py.File(tmp_path / NAME) as file:
        names = [name for name in file["model_weights"].attrs if "layer_names" in name]
    assert names == ["layer_names0", "layer_names1"]
    again = loaded(tmp_path / NAME)
    for found, wanted in zip(again.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    theirs = small(keras)
    with h5py.File(tmp_path / NAME) as file:
        keras.src.legacy.saving.legacy_h5_format.load_weights_from_hdf5_group_by_name(
            file["model_weights"], theirs
        )


def test_weights_of_one_name_inside_a_layer(tmp_path: Path) -> None:
    class Twice(kcompile.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.first = kcompile.layers.Dense(3, name="same")
            self.second = kcompile.layers.Dense(3, name="same")

        def call(self, inputs: Any) -> Any:
            return self.second(self.first(inputs))

    kcompile.saving.register_keras_serializable("tests")(Twice)
    x = kcompile.Input((3,))
    ours = kcompile.Model(x, Twice(name="twice")(x))
    randomize(ours)
    h5_writer.write(ours, tmp_path / NAME)
    again = kcompile.Model(x, Twice(name="twice")(x))
    load_weights(again, tmp_path / NAME)
    for found, wanted in zip(again.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


# Failures


def test_a_failing_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = small(kcompile)
    path = tmp_path / NAME
    h5_writer.write(ours, path)
    old = path.read_bytes()

    def fail(self: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(type(ours.weights[-1]), "numpy", fail)
    with pytest.raises(OSError, match="no space left"):
        h5_writer.write(ours, path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_without_weights_yet(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="its weights are not made yet"):
        h5_writer.write(kcompile.Sequential([kcompile.layers.Dense(3)]), tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_the_format_has_not(tmp_path: Path) -> None:
    ours = kcompile.Sequential([kcompile.Input((2,)), kcompile.layers.Dense(3, dtype="bfloat16")])
    with pytest.raises(SpecError, match="the format has no bfloat16"):
        h5_writer.write(ours, tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_frozen_layers_stay_frozen(tmp_path: Path) -> None:
    ours = frozen(kcompile)
    randomize(ours)
    h5_writer.write(ours, tmp_path / NAME)
    again = loaded(tmp_path / NAME)
    assert [v.trainable for v in again.weights] == [v.trainable for v in ours.weights]
    for found, wanted in zip(again.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
