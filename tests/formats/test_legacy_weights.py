"""Weights alone in legacy `.h5` files: by order or by name, as Keras loads them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import load_weights
from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.layer_weights import SavedLayer, match_layers
from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError, SpecError
from tests.formats.legacy import saved_by_keras
from tests.formats.models import nested, randomize

NAME = "w.h5"


def model(k: Any, names: str = "abc", units: int = 4) -> Any:
    first, norm, last = names
    return k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(4, name=first),
            k.layers.BatchNormalization(name=norm),
            k.layers.Dropout(0.5, name=f"{first}{last}"),
            k.layers.Dense(units, name=last),
        ],
        name="model",
    )


def weights_alone(theirs: Any, path: Path) -> Path:
    """The weights of a model of Keras, as `save_weights` of Keras 1 and 2 wrote them."""
    whole = saved_by_keras(theirs, path.with_name("whole.h5"))
    with h5py.File(whole) as source, h5py.File(path, "w") as file:
        group = source["model_weights"]
        for name in group:
            source.copy(group[name], file, name)
        file.attrs.update(group.attrs)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    theirs = model(keras)
    randomize(theirs)
    return weights_alone(theirs, tmp_path / NAME)


def assert_same_weights(ours: Any, theirs: Any) -> None:
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def both(path: Path, names: str = "abc", units: int = 4, **options: Any) -> list[str]:
    """Load the weights into ours and Keras's, which are the same then; what ours warns of."""
    ours, theirs = model(kcompile, names, units), model(keras, names, units)
    theirs.set_weights(ours.get_weights())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        load_weights(ours, path, **options)
    with warnings.catch_warnings(record=True) as wanted:
        warnings.simplefilter("always")
        theirs.load_weights(path, **options)
    assert len(found) == len(wanted)
    assert_same_weights(ours, theirs)
    return [str(warning.message) for warning in found]


def test_by_order(saved: Path) -> None:
    assert both(saved) == []


def test_by_order_whatever_the_names(saved: Path) -> None:
    assert both(saved, "xyz") == []


def test_by_name(saved: Path) -> None:
    assert both(saved, "abc", by_name=True) == []
    assert both(saved, "axc", by_name=True) == []
    assert both(saved, "xyz", by_name=True) == []


def test_skipping_what_does_not_fit(saved: Path) -> None:
    found = both(saved, units=3, skip_mismatch=True)
    assert found == [
        "w.h5: c (layer 'c'): the weight 'kernel' needs shape [4,3], got [4,4]; it stays as it is",
        "w.h5: c (layer 'c'): the weight 'bias' needs shape [3], got [4]; it stays as it is",
    ]


def test_skipping_what_is_far_too_large(tmp_path: Path) -> None:
    theirs = model(keras, units=50)
    randomize(theirs)
    path = weights_alone(theirs, tmp_path / NAME)
    assert len(both(path, units=2, skip_mismatch=True)) == 2
    with pytest.raises(
        FormatError, match=r"needs 2 weights \(kernel \[4,2\], bias \[2\]\), got 'c'"
    ):
        load_weights(model(kcompile, units=2), path)


def test_skipping_layers_with_another_number_of_weights(saved: Path) -> None:
    (found,) = both(saved, "bac", by_name=True, skip_mismatch=True)[:1]
    assert found.startswith("w.h5: a (layer 'a'): needs 4 weights (gamma [4], beta [4], moving_")


def test_from_a_whole_model(tmp_path: Path) -> None:
    theirs = model(keras)
    randomize(theirs)
    saved_by_keras(theirs, tmp_path / NAME)
    assert both(tmp_path / NAME) == []


def test_models_inside(tmp_path: Path) -> None:
    kcompile.utils.clear_session()
    keras.utils.clear_session()
    theirs, ours = nested(keras), nested(kcompile)
    randomize(theirs)
    ours.load_weights(weights_alone(theirs, tmp_path / NAME))
    assert_same_weights(ours, theirs)


class Own(kcompile.Model):
    """A model with a weight of its own."""

    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense = kcompile.layers.Dense(3, name="dense")

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((3,), "ones", name="scale")
        self.offset = self.add_weight((3,), "ones", trainable=False, name="offset")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs) * self.scale + self.offset


def own_file(path: Path, *, with_own: bool = True) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"dense"])
        file.attrs["keras_version"] = "2.9.0"
        arrays = {
            "dense": {"k": np.ones((2, 3), "f"), "b": np.full(3, 2, "f")},
            "top_level_model_weights": {"s": np.full(3, 3, "f"), "o": np.full(3, 4, "f")},
        }
        for name, weights in arrays.items():
            if with_own or name == "dense":
                group = file.create_group(name)
                group.attrs["weight_names"] = list(weights)
                for key, array in weights.items():
                    group[key] = array
    return path


def test_weights_of_the_model_itself(tmp_path: Path) -> None:
    ours = Own()
    ours(np.ones((1, 2), "f"))
    load_weights(ours, own_file(tmp_path / NAME))
    np.testing.assert_array_equal(ours(np.ones((1, 2), "f")), np.full((1, 3), 16))


def test_missing_weights_of_the_model_itself(tmp_path: Path) -> None:
    ours = Own()
    ours(np.ones((1, 2), "f"))
    with pytest.raises(FormatError, match=r"the model itself has 2 weights \(scale \[3\], offset"):
        load_weights(ours, own_file(tmp_path / NAME, with_own=False))


def test_branches_of_keras_1_stand_flat() -> None:
    """A Sequential that began with Merge listed the layers of the branches, not the branches."""
    x = kcompile.Input((2,), name="x")
    left = kcompile.Sequential(
        [kcompile.Input((2,)), kcompile.layers.Dense(3, name="l")], name="left"
    )
    right = kcompile.Sequential(
        [kcompile.Input((2,)), kcompile.layers.Dense(3, name="r")], name="right"
    )
    y = kcompile.layers.Dense(1, name="last")(kcompile.layers.Add()([left(x), right(x)]))
    ours = kcompile.Model(x, y)
    saved = [SavedLayer(name, Place("w.h5", name), [], []) for name in ("r", "l", "last")]
    matched = match_layers(ours, saved, Era(1, 2), "w.h5")
    assert [entry.path for entry in matched] == [("right", "r"), ("left", "l"), ("last",)]
    with pytest.raises(FormatError, match="the model has 3 layers with weights: 'left', 'right'"):
        match_layers(ours, saved[:2], Era(2, 2), "w.h5")


# Failures

DAMAGES: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "surplus array": (
        lambda file: file.__setitem__("c/x", np.ones(3)),
        r"w\.h5: no layer has the arrays c/x",
    ),
    "surplus layer": (
        lambda file: file.__setitem__("d/x", np.ones(3)),
        r"w\.h5: no layer has the arrays d/x",
    ),
    "missing layer": (
        lambda file: file.__delitem__("c"),
        r"w\.h5: c: there is no such group, which 'layer_names' names",
    ),
    "shape": (
        lambda file: (
            file.__delitem__("c/model/c/bias"),
            file.__setitem__("c/model/c/bias", np.ones(5, "f")),
        ),
        r"w\.h5: c \(layer 'c'\): the weight 'bias' needs shape \[4\], got \[5\]",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_all_or_nothing(damage: Callable[[h5py.File], Any], message: str, saved: Path) -> None:
    ours = model(kcompile)
    before = ours.get_weights()
    with h5py.File(saved, "a") as file:
        damage(file)
    with pytest.raises(FormatError, match=message):
        load_weights(ours, saved)
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_another_number_of_layers(saved: Path) -> None:
    ours = kcompile.Sequential([kcompile.Input((4,)), kcompile.layers.Dense(4, name="a")])
    with pytest.raises(FormatError, match=r"the model has 1 layers with weights: 'a'; the file"):
        load_weights(ours, saved)
    load_weights(ours, saved, by_name=True)


def test_layers_of_today_have_no_names_in_files(tmp_path: Path) -> None:
    ours = model(kcompile)
    ours.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(SpecError, match="Leave out by_name"):
        load_weights(ours, tmp_path / "m.weights.h5", by_name=True)


def test_skipping_in_files_of_today(tmp_path: Path) -> None:
    theirs = model(keras)
    randomize(theirs)
    theirs.save_weights(tmp_path / "m.weights.h5")
    ours = model(kcompile, units=3)
    before = ours.get_weights()
    with pytest.warns(UserWarning, match="the weights of layer 'c' are others"):
        load_weights(ours, tmp_path / "m.weights.h5", skip_mismatch=True)
    expected = [*theirs.get_weights()[:-2], *before[-2:]]
    for found, wanted in zip(ours.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_model_without_weights_yet(saved: Path) -> None:
    ours = kcompile.Sequential([kcompile.layers.Dense(4)])
    with pytest.raises(SpecError, match="its weights are not made yet"):
        load_weights(ours, saved)
