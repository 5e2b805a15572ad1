"""Legacy HDF5 files, written as Keras 3.15 writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.formats.keras_file import KERAS_VERSION, json_text
from kcompile.formats.legacy.layer_weights import (
    TOP_LEVEL,
    WEIGHTS,
    legacy_order,
    own_variables,
    paths_inside,
)
from kcompile.formats.legacy.optimizer_weights import GROUP as OPTIMIZER
from kcompile.formats.legacy.optimizer_weights import named_arrays
from kcompile.formats.legacy.training import legacy_training
from kcompile.formats.training_config import compile_config
from kcompile.formats.weights import layer_groups
from kcompile.formats.writing import model_config
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.models import Model
from kcompile.ops.trace import unused_name
from kcompile.ops.variable import Variable
from kcompile.utils.atomic import replacing

if TYPE_CHECKING:
    import h5py

Array = np.ndarray[Any, Any]

BACKEND = "jax"
#: An attribute of more bytes does not fit into the header of an object, which has at most 64 KiB.
MAX_ATTRIBUTE = 64_512


def write(model: Model, path: str | Path, include_optimizer: bool = True) -> None:
    """Write a model with its weights to a file, which appears whole or not at all.

    Args:
        model: whose weights are made.
        path: of the file.
        include_optimizer: whether to write how the model is trained, and the optimizer's state.

    Raises:
        SpecError: a part of the model has no form in a file, or it has no weights yet.
    """
    import h5py

    list(layer_groups(model))  # raises if weights are not made
    config = model_config(model)
    described = {"class_name": config["class_name"], "config": config["config"]}
    attributes = {
        "keras_version": KERAS_VERSION,
        "backend": BACKEND,
        "model_config": json_text(described, model),
    }
    training = compile_config(model) if include_optimizer else {}
    if training:
        attributes["training_config"] = json_text(legacy_training(training), model)
    with replacing(path) as part, h5py.File(part, "w") as file:
        file.attrs.update(attributes)
        _write_weights(file.create_group(WEIGHTS), model)
        if training:
            write_arrays(file.create_group(OPTIMIZER), named_arrays(model))


def _write_weights(group: h5py.Group, model: Model) -> None:
    group.attrs["keras_version"] = KERAS_VERSION
    group.attrs["backend"] = BACKEND
    write_names(group, "layer_names", [layer.name for layer in model.layers])
    # Sorted, so that a name which is the start of another comes first.
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        paths = paths_inside(layer)
        own: dict[str, Array] = {}
        for variable in legacy_order(layer):
            own[unused_name(f"{layer.name}/{paths[variable]}", own)] = _array(variable)
        write_arrays(group.create_group(layer.name), own)
    write_arrays(group.create_group(TOP_LEVEL), {v.path: _array(v) for v in own_variables(model)})


def _array(variable: Variable) -> Array:
    """The value of a weight.

    Raises:
        SpecError: it is of a type that the format does not have.
    """
    if variable.type.dtype is DType.BFLOAT16:
        raise SpecError("the format has no bfloat16", where=f"weight '{variable.path}'")
    return variable.numpy()


def write_arrays(group: h5py.Group, named: Mapping[str, Array]) -> None:
    """Write arrays by their names, and the list of the names."""
    write_names(group, "weight_names", list(named))
    for name, array in named.items():
        group.create_dataset(name, data=array)


def write_names(group: h5py.Group, attribute: str, names: Sequence[str]) -> None:
    """Write a list of names into an attribute, or into several if it does not fit into one."""
    array = np.array([name.encode() for name in names]) if names else np.zeros(0)
    number = max(1, -(-array.nbytes // MAX_ATTRIBUTE))
    while max(part.nbytes for part in np.array_split(array, number)) > MAX_ATTRIBUTE:
        number += 1
    if number == 1:
        group.attrs[attribute] = array
        return
    for index, part in enumerate(np.array_split(array, number)):
        group.attrs[f"{attribute}{index}"] = part
