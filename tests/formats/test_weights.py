"""`.weights.h5`: as Keras writes it, all or nothing, and without trust."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import load_weights, save_weights
from kcompile.ir.errors import FormatError, SpecError
from tests.formats.models import (
    MODELS,
    assert_same_outputs,
    cnn,
    randomize,
    shared_across_models,
)

NAME = "m.weights.h5"
KERNEL = "layers/dense/vars/0"


def content(path: Path) -> dict[str, Any]:
    """Datasets as arrays, and the name that each group of weights says."""
    found: dict[str, Any] = {}

    def visit(name: str, entry: Any) -> None:
        found[name] = entry[()] if isinstance(entry, h5py.Dataset) else entry.attrs.get("name")

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("make", [*MODELS.values(), shared_across_models])
def test_the_file_is_as_keras_writes_it(make: Callable[[Any], Any], tmp_path: Path) -> None:
    kcompile.utils.clear_session()
    keras.utils.clear_session()
    ours, theirs = make(kcompile), make(keras)
    randomize(ours)
    save_weights(ours, tmp_path / NAME)
    theirs.load_weights(tmp_path / NAME)
    assert_same_outputs(ours, theirs)
    theirs.save_weights(tmp_path / f"k.{NAME}")
    mine, other = content(tmp_path / NAME), content(tmp_path / f"k.{NAME}")
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        np.testing.assert_array_equal(value, other[name])


class Block(kcompile.Layer):
    """A layer with layers in attributes, in a list and in a dict."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = kcompile.layers.Dense(3)
        self.rest = [kcompile.layers.Dense(3), kcompile.layers.Dense(3)]

    def call(self, inputs: Any) -> Any:
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return x


class KerasBlock(keras.layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(3)
        self.rest = [keras.layers.Dense(3), keras.layers.Dense(3)]

    def call(self, inputs: Any) -> Any:
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return x


def test_layers_inside_layers(tmp_path: Path) -> None:
    ours = kcompile.Sequential([kcompile.Input((3,)), Block()])
    theirs = keras.Sequential([keras.Input((3,)), KerasBlock()])
    theirs.save_weights(tmp_path / NAME)
    with h5py.File(tmp_path / NAME, "a") as file:
        file.move("layers/keras_block", "layers/block")
    load_weights(ours, tmp_path / NAME)
    assert_same_outputs(ours, theirs)


def test_a_trained_keras_model(tmp_path: Path) -> None:
    """The optimizer's state in the file is no part of the model."""
    theirs = cnn(keras)
    theirs.compile("adam", "mse")
    theirs.fit(np.ones((4, 8, 8, 2)), np.ones((4, 1, 5)), verbose=0)
    theirs.save_weights(tmp_path / NAME)
    assert any(name.startswith("optimizer/") for name in content(tmp_path / NAME))
    ours = cnn(kcompile)
    ours.load_weights(tmp_path / NAME)
    assert_same_outputs(ours, theirs)


# Failures


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = cnn(kcompile)
    randomize(model)
    save_weights(model, tmp_path / NAME)
    return tmp_path / NAME


def dense_kernel(model: Any) -> Any:
    return next(v for v in model.weights if v.shape == (36, 5)).numpy()


def replace(name: str, make: Callable[[h5py.File, str], Any]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[name]
            make(file, name)

    return change


def with_nan(file: h5py.File, name: str) -> None:
    array = np.ones((36, 5), "float32")
    array[1, 2] = np.nan
    file[name] = array


def external(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (36, 5), "float32", external=[("/etc/hostname", 0, 720)])


def virtual(file: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((36, 5), "float32")
    layout[:] = h5py.VirtualSource("other.h5", "x", (36, 5))
    file.create_virtual_dataset(name, layout)


def huge(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (2**25, 2**25), "float32", chunks=(64, 64), compression="gzip")


def lzf(file: h5py.File, name: str) -> None:
    file.create_dataset(name, data=np.ones((36, 5), "float32"), compression="lzf")


def group_in_itself(file: h5py.File, name: str) -> None:
    file[name] = file["layers"]


def strings(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (36, 5), h5py.string_dtype())


def surplus(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["layers/x/vars/0"] = 1.0


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (
        replace(KERNEL, lambda file, name: None),
        r"m\.weights\.h5: the file lacks: layers/dense/vars/0 \(weight 'kernel' f32\[36,5\] of"
        r" layer 'dense\w*'\)",
    ),
    "surplus": (
        surplus,
        r"the model has no place for: layers/x/vars/0",
    ),
    "shape": (
        replace(KERNEL, lambda f, n: f.create_dataset(n, data=np.ones((5, 36), "float32"))),
        r"layers/dense/vars/0 \(weight 'kernel' of layer 'dense\w*'\): needs shape \[36,5\], got"
        r" \[5,36\]",
    ),
    "dtype": (
        replace(KERNEL, lambda f, n: f.create_dataset(n, data=np.ones((36, 5)))),
        r"needs float32, got float64",
    ),
    "strings": (replace(KERNEL, strings), r"needs float32, got object"),
    "empty": (
        replace(KERNEL, lambda f, n: f.create_dataset(n, data=h5py.Empty("f4"))),
        r"needs shape \[36,5\], got nothing",
    ),
    "never written": (
        replace(KERNEL, lambda f, n: f.create_dataset(n, (36, 5), "float32")),
        r"its data are missing",
    ),
    "nan": (replace(KERNEL, with_nan), r"layer 'dense\w*'\): 1 of 180 elements are NaN"),
    "external": (replace(KERNEL, external), r"vars/0: its data are in another file"),
    "virtual": (replace(KERNEL, virtual), r"vars/0: its data are in another file"),
    "huge": (replace(KERNEL, huge), r"needs shape \[36,5\], got \[33554432,33554432\]"),
    "plug-in": (replace(KERNEL, lzf), r"compressed in a way that is not known"),
    "soft link": (
        replace(KERNEL, lambda f, n: f.__setitem__(n, h5py.SoftLink("/layers/dense/vars/1"))),
        r"layers/dense/vars/0: it is a link to another place",
    ),
    "external link": (
        replace(KERNEL, lambda f, n: f.__setitem__(n, h5py.ExternalLink("/etc/passwd", "/x"))),
        r"layers/dense/vars/0: it is a link to another place",
    ),
    "cycle": (replace(KERNEL, group_in_itself), r"it stands in the file twice"),
    "type": (
        replace(KERNEL, lambda f, n: f.__setitem__(n, np.dtype("float32"))),
        r"it is neither a group nor an array",
    ),
    "not hdf5": (lambda path: path.write_bytes(b"hello"), r"it is not HDF5"),
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        r"it is not HDF5",
    ),
    "gone": (Path.unlink, r"there is no such file"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_all_or_nothing(damage: Callable[[Path], None], message: str, saved: Path) -> None:
    model = cnn(kcompile)
    before = model.get_weights()
    damage(saved)
    with pytest.raises(FormatError, match=message):
        model.load_weights(saved)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_compressed_by_hdf5_itself_is_read(saved: Path) -> None:
    values = np.full((36, 5), 2.5, "float32")
    replace(KERNEL, lambda f, n: f.create_dataset(n, data=values, compression="gzip"))(saved)
    model = cnn(kcompile)
    model.load_weights(saved)
    np.testing.assert_array_equal(dense_kernel(model), values)


def test_the_other_byte_order_is_read(saved: Path) -> None:
    values = np.arange(180, dtype=">f4").reshape(36, 5)
    replace(KERNEL, lambda f, n: f.create_dataset(n, data=values))(saved)
    model = cnn(kcompile)
    model.load_weights(saved)
    np.testing.assert_array_equal(dense_kernel(model), values)


def test_names_and_overwriting(saved: Path) -> None:
    model = cnn(kcompile)
    with pytest.raises(SpecError, match=re.escape("'m.h5' does not end in .weights.h5")):
        model.save_weights(saved.with_name("m.h5"))
    old = saved.read_bytes()
    with pytest.raises(FormatError, match="the file is there already"):
        model.save_weights(saved, overwrite=False)
    assert saved.read_bytes() == old
    model.save_weights(saved)
    assert saved.read_bytes() != old


def test_a_model_without_weights_yet(tmp_path: Path) -> None:
    model = kcompile.Sequential([kcompile.layers.Dense(3)])
    for action in (model.save_weights, model.load_weights):
        with pytest.raises(SpecError, match="its weights are not made yet"):
            action(tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn(kcompile)
    old = saved.read_bytes()

    def fail(self: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(type(model.weights[-1]), "numpy", fail)
    with pytest.raises(OSError, match="no space left"):
        model.save_weights(saved)
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved]
