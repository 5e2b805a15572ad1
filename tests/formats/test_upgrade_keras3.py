"""Configs of Keras 3 stay as they are; those of its HDF5 files get the modules that they lack."""

from __future__ import annotations

import json
from typing import Any

import keras
import pytest

import kcompile
from kcompile.formats.architecture import to_json
from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.upgrade import upgrade
from kcompile.formats.place import Place
from kcompile.formats.reading import read_model
from tests.formats.models import MODELS, assert_same_outputs, randomize

ERA = Era(3, 15, 1)
PLACE = Place("new.h5")


def without_modules(entry: Any) -> Any:
    """As HDF5 files hold it: layers of models without their envelope."""
    config = dict(entry["config"])
    if "layers" in config:
        config["layers"] = [without_modules(layer) for layer in config["layers"]]
    kept = {key: entry[key] for key in ("class_name", "name", "inbound_nodes") if key in entry}
    return {**kept, "config": config}


@pytest.mark.parametrize("name", MODELS)
def test_configs_stay_as_they_are(name: str) -> None:
    text = to_json(MODELS[name](kcompile))
    result = upgrade(json.loads(text), ERA, PLACE)
    assert (result.origins, result.renamed) == ({}, {})
    assert to_json(read_model(result.config, PLACE)) == text


@pytest.mark.parametrize("name", ["nested", "shared"])
def test_modules_that_hdf5_files_leave_out(name: str) -> None:
    theirs = MODELS[name](keras)
    randomize(theirs)
    result = upgrade(without_modules(json.loads(theirs.to_json())), ERA, PLACE)
    ours = read_model(result.config, PLACE)
    ours.set_weights(theirs.get_weights())
    assert_same_outputs(ours, theirs)


def test_layers_inside_of_layers() -> None:
    both = keras.layers.Bidirectional(keras.layers.GRU(2, recurrent_activation="hard_sigmoid"))
    x = keras.Input((5, 3))
    entry = json.loads(keras.Model(x, both(x)).to_json())
    made = upgrade(entry, ERA, PLACE).config
    inner = made["config"]["layers"][1]["config"]["layer"]
    assert inner["module"] == "keras.layers"
    assert inner["config"]["recurrent_activation"] == "hard_sigmoid"
