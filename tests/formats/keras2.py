"""What configs of Keras 2 are made of, for tests."""

from __future__ import annotations

import copy
from typing import Any

from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.upgrade import Upgraded, upgrade
from kcompile.formats.place import Place
from kcompile.formats.reading import read_model

Config = dict[str, Any]
KERAS_2 = Era(2, 2, 4)
PLACE = Place("old.h5")


def layer(class_name: str, name: str, **config: Any) -> Config:
    return {"class_name": class_name, "config": {"name": name, "trainable": True, **config}}


def dense(name: str = "dense", units: int = 2, **config: Any) -> Config:
    return layer("Dense", name, units=units, **config)


def sequential(*layers: Config, **config: Any) -> Config:
    return {"class_name": "Sequential", "config": {"name": "line", "layers": [*layers], **config}}


def upgraded(config: Config, era: Era = KERAS_2, **options: Any) -> Upgraded:
    before = copy.deepcopy(config)
    result = upgrade(config, era, PLACE, **options)
    assert config == before  # what was given stays as it was
    return result


def model_of(config: Config, era: Era = KERAS_2, **options: Any) -> Any:
    return read_model(upgraded(config, era, **options).config, PLACE)


def only(entry: Config, shape: list[int | None], era: Era = KERAS_2, **options: Any) -> Any:
    """The layer that stands alone in a Sequential."""
    first = {**entry, "config": {**entry["config"], "batch_input_shape": shape}}
    return model_of(sequential(first), era, **options).layers[0]


def old_input(name: str, *shape: int | None) -> Config:
    config = {"name": name, "batch_input_shape": [None, *shape], "dtype": "float32"}
    entry = {"class_name": "InputLayer", "config": {**config, "sparse": False, "ragged": False}}
    return {**entry, "name": name, "inbound_nodes": []}


def called(entry: Config, *nodes: Any) -> Config:
    return {**entry, "name": entry["config"]["name"], "inbound_nodes": list(nodes)}


def functional(
    *layers: Config, inputs: Any = None, outputs: Any, class_name: str = "Model"
) -> Config:
    given = [[e["name"], 0, 0] for e in layers if e["class_name"] == "InputLayer"]
    config = {"name": "graph", "layers": [*layers], "input_layers": inputs or given}
    return {"class_name": class_name, "config": {**config, "output_layers": outputs}}
