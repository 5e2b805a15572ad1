"""Files that could be taken for something else than they say."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats.hdf5 import open_contents
from kcompile.formats.hdf5_attributes import read_text
from kcompile.formats.loading import load_model, read_architecture
from kcompile.formats.place import Place
from kcompile.formats.reading import read_model
from kcompile.ir.errors import FormatError
from kcompile.models import Model

Config = dict[str, Any]


class LayerNormalization(keras.layers.Layer):
    """A user's class that has the name of one of Keras's."""

    def call(self, x: Any) -> Any:
        return x * 100


@pytest.mark.parametrize("suffix", ["keras", "json"])
def test_a_users_class_with_the_name_of_a_layer(suffix: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), LayerNormalization(name="mine")])
    path = tmp_path / f"m.{suffix}"
    if suffix == "json":
        path.write_text(model.to_json())
    else:
        model.save(path)
    with pytest.raises(FormatError, match=r"not known: [\w.]*LayerNormalization \("):
        load_model(path)


def functional(entry: Config, version: str) -> Config:
    name = entry["config"]["name"]
    x = {"name": "x", "batch_input_shape": [None, 2, 3], "dtype": "float32"}
    layers = [
        {"class_name": "InputLayer", "config": x, "name": "x", "inbound_nodes": []},
        {**entry, "name": name},
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[name, 0, 0]]}
    return {
        "class_name": "Functional",
        "config": {"name": "m", "layers": layers, **ends},
        "keras_version": version,
        "backend": "tensorflow",
    }


def made(config: Config) -> Model:
    spec = read_architecture(config, Place("m.json"))
    return read_model(spec.config, spec.place)


def normalized(given: Config) -> Config:
    config = {"name": "f", "dtype": "float32", "function": "math.l2_normalize"}
    nodes = [["x", 0, 0, given]]
    return functional({"class_name": "TFOpLambda", "config": config, "inbound_nodes": nodes}, "2.7")


def test_a_norm_over_all_axes_is_not_one_over_the_last() -> None:
    for given in ({}, {"axis": None}):
        with pytest.raises(FormatError, match="without axis has no counterpart"):
            made(normalized(given))
    x = np.arange(12, dtype="f").reshape(2, 2, 3)
    found = made(normalized({"axis": 1}))(x)
    np.testing.assert_allclose(found, x / np.sqrt((x**2).sum(1, keepdims=True)), rtol=1e-6)


@pytest.mark.parametrize(
    "of_user",
    [
        {"module": "my.module", "registered_name": "relu"},
        {"module": "builtins", "registered_name": "Package>relu"},
    ],
)
def test_a_users_function_with_the_name_of_an_activation(of_user: Config) -> None:
    activation = {"class_name": "function", "config": "relu", **of_user}
    dense = {"name": "a", "units": 2, "activation": activation}
    layer = {"class_name": "Dense", "config": dense}
    old = functional({**layer, "inbound_nodes": [[["x", 0, 0, {}]]]}, "2.15.0")
    x = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 3]}}
    stack = [{"module": "keras.layers", "registered_name": None, **entry} for entry in (x, layer)]
    new = {"module": "keras", "class_name": "Sequential", "registered_name": None}
    new["config"] = {"name": "m", "layers": stack}
    for config in (old, new):
        with pytest.raises(FormatError, match="not known: .*relu"):
            made(config)
        activation.update(module="builtins", registered_name="function")
        assert made(config).layers[-1].activation is kcompile.activations.relu
        activation.update(of_user)


def test_an_archive_that_is_an_hdf5_file_as_well(tmp_path: Path) -> None:
    """Readers that go by the name take the one, readers that go by the content the other."""
    whole = io.BytesIO()
    with h5py.File(whole, "w", userblock_size=512) as file:
        file.attrs["model_config"] = "{}"
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("config.json", json.dumps({}))
    data = whole.getvalue()
    path = tmp_path / "m.keras"
    for start in (data[:4], b"PK\x03\x04"):
        path.write_bytes(start + data[4:])
        with pytest.raises(FormatError, match="a zip archive and an HDF5 file in one"):
            load_model(path)


def damaged(path: Path, change: Any) -> None:
    """A file with a text of variable length whose collection of texts is changed."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "text"
    data = bytearray(path.read_bytes())
    change(data, data.index(b"GCOL"))
    path.write_bytes(data)


def without_end(data: bytearray, at: int) -> None:
    """A free value of size 0, after which the library looks for the next at the same place."""
    data[at + 16 : at + 32] = bytes(16)


def beyond_the_end(data: bytearray, at: int) -> None:
    data[at + 24 : at + 32] = (2**40).to_bytes(8, "little")


@pytest.mark.parametrize("change", [without_end, beyond_the_end])
def test_texts_that_never_end(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    damaged(path, change)
    for source in (path, io.BytesIO(path.read_bytes())):
        with (
            open_contents(source, "m.h5") as contents,
            pytest.raises(FormatError, match="texts have impossible sizes"),
        ):
            read_text(contents, "", "model_config")


def test_bytes_without_meaning_do_not_hide_texts(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"

    def change(data: bytearray, at: int) -> None:
        data[at + 5] = 7

    damaged(path, change)
    with open_contents(path) as contents:
        assert contents.largest_string >= 4096
        assert read_text(contents, "", "model_config") == "text"


def test_texts_in_a_file_in_another_one_are_measured(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "text"
        file["weights"] = np.zeros(2**16, "f")
    for source in (path, io.BytesIO(path.read_bytes())):
        with open_contents(source, "m.h5") as contents:
            assert contents.largest_string == 4096
