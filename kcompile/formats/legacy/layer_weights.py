"""Which arrays of a legacy HDF5 file are which weights of a model.

A group holds a group for each layer, named by its attribute `layer_names`; a layer's group has the
paths of its arrays in `weight_names`: those of the trained weights first, inner layers included.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.formats.hdf5 import Contents, read_checked
from kcompile.formats.hdf5_attributes import read_names
from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.weight_forms import convert_weights
from kcompile.formats.place import Place, locating
from kcompile.ir.errors import FormatError
from kcompile.ir.types import format_shape
from kcompile.layers import Layer
from kcompile.models import Model
from kcompile.ops.variable import Variable

if TYPE_CHECKING:
    import h5py

Array = np.ndarray[Any, Any]
Values = dict[Variable, Array]

#: The group of a whole model's weights, and the one in it of those that a model itself owns.
WEIGHTS = "model_weights"
TOP_LEVEL = "top_level_model_weights"
#: How many names a message lists.
_NUM_NAMED = 5
#: cuDNN's recurrent layers have two biases, of which today's have the sum.
_MOST_TIMES_AS_MANY = 2
#: What writers add to a weight's own name: `kernel:0`, `kernel_1:0`.
_ADDED = re.compile(r"(_\d+)?(:\d+)?$")


@dataclass(frozen=True)
class SavedLayer:
    """A layer in a file.

    Attributes:
        name: of the layer.
        place: of its group, for messages.
        names: of its weights.
        datasets: of its weights.
    """

    name: str
    place: Place
    names: list[str]
    datasets: list[h5py.Dataset]

    def __str__(self) -> str:
        shapes = ", ".join(
            f"{name} {'nothing' if dataset.shape is None else format_shape(dataset.shape)}"
            for name, dataset in zip(self.names, self.datasets, strict=True)
        )
        return f"'{self.name}' ({shapes})"


@dataclass(frozen=True)
class Matching:
    """A layer of a model, and one in a file.

    Attributes:
        path: names of the models around the layer, the outermost excluded, and its own.
        layer: of the model.
        saved: of the file.
    """

    path: tuple[str, ...]
    layer: Layer
    saved: SavedLayer


def read_layers(contents: Contents, group: str) -> list[SavedLayer]:
    """The layers with weights in a group of a file, in their order.

    Raises:
        FormatError: a layer's group or a weight is missing, or one stands there that nothing names.
    """
    names = read_names(contents, group, "layer_names")
    if names is None:
        raise FormatError("the attribute 'layer_names' is missing", where=_where(contents, group))
    if TOP_LEVEL not in names and _join(group, TOP_LEVEL) in contents.groups:
        names = [*names, TOP_LEVEL]
    layers = [_read_layer(contents, _join(group, name), name) for name in names]
    _check_all_used(contents, group, layers)
    return [layer for layer in layers if layer.datasets]


def _read_layer(contents: Contents, path: str, name: str) -> SavedLayer:
    place = Place(contents.where, path)
    if path not in contents.groups:
        raise place.error("there is no such group, which 'layer_names' names")
    names = read_names(contents, path, "weight_names") or []
    datasets = []
    for weight in names:
        if _join(path, weight) not in contents.datasets:
            raise place.error(f"there is no array '{weight}', which 'weight_names' names")
        datasets.append(contents.datasets[_join(path, weight)])
    return SavedLayer(name, place, names, datasets)


def _check_all_used(contents: Contents, group: str, layers: list[SavedLayer]) -> None:
    used: set[str] = set()
    for layer in layers:
        for name in layer.names:
            path = _join(layer.place.path, name)
            if path in used:
                raise layer.place.error(f"the array '{name}' is named twice")
            used.add(path)
    surplus = [
        path for path in contents.datasets if path.startswith(_join(group, "")) and path not in used
    ]
    if surplus:
        raise FormatError(
            f"no layer has the arrays {_listed(surplus)}",
            where=_where(contents, group),
            hint="The file was changed after Keras wrote it",
        )


def match_layers(
    model: Model,
    saved: list[SavedLayer],
    era: Era,
    where: str,
    renamed: Mapping[tuple[str, ...], str] = MappingProxyType({}),
) -> list[Matching]:
    """The layer of the model for each in the file: by names if all are the same, else by order.

    Args:
        model: whose weights are made.
        saved: the layers in the file.
        era: of the file.
        where: the file is, for messages.
        renamed: the names in the file of layers that have another one in the model, by their paths.

    Raises:
        FormatError: their numbers differ.
    """
    if not model.built:
        raise FormatError(
            "the file does not say of what shape the inputs are, which the weights depend on",
            where=where,
            hint="Make the model in code with an Input, and call load_weights",
        )
    found = [entry for entry in saved if entry.name != TOP_LEVEL]
    names = {entry.name for entry in found}
    layers = dict(_weighted(model))
    if era.major == 1 and not names <= {path[-1] for path in layers}:
        layers = _flattened(layers, names)
    if len(found) != len(layers):
        raise _other_layers([path[-1] for path in layers], found, where)
    by_name = {renamed.get(path, path[-1]): path for path in layers}
    paths = [by_name[entry.name] for entry in found] if names == set(by_name) else list(layers)
    matched = [
        Matching(path, layers[path], entry) for path, entry in zip(paths, found, strict=True)
    ]
    own = _match_own(model, saved)
    if not own and (missing := own_variables(model)):
        raise FormatError(f"the model itself has {_described(missing)}, the file none", where=where)
    return [*matched, *own]


def _other_layers(names: list[str], found: list[SavedLayer], where: str) -> FormatError:
    here = _listed([f"'{name}'" for name in names])
    there = _listed([str(entry) for entry in found])
    return FormatError(
        f"the model has {len(names)} layers with weights: {here}; the file has {len(found)}:"
        f" {there}",
        where=where,
        hint="The weights are of another model, or of other layers in it",
    )


def match_by_name(model: Model, saved: list[SavedLayer]) -> list[Matching]:
    """The layers of the model that have the name of one in the file."""
    layers = {layer.name: layer for layer in model.layers}
    matched = [
        Matching((entry.name,), layers[entry.name], entry)
        for entry in saved
        if entry.name in layers
    ]
    return [*matched, *_match_own(model, saved)]


def _match_own(model: Model, saved: list[SavedLayer]) -> list[Matching]:
    """The weights that the model itself owns."""
    return [Matching((), model, entry) for entry in saved if entry.name == TOP_LEVEL]


def _weighted(model: Model) -> Iterator[tuple[tuple[str, ...], Layer]]:
    for layer in model.layers:
        if layer.weights:
            yield (layer.name,), layer


def _flattened(
    layers: Mapping[tuple[str, ...], Layer], wanted: set[str]
) -> dict[tuple[str, ...], Layer]:
    """The layers, with those inside in place of a model that is not named: Keras 1's branches."""
    result: dict[tuple[str, ...], Layer] = {}
    for path, layer in layers.items():
        if isinstance(layer, Model) and path[-1] not in wanted:
            inner = {(*path, *below): found for below, found in _weighted(layer)}
            result |= _flattened(inner, wanted)
        else:
            result[path] = layer
    return result


def legacy_order(layer: Layer) -> list[Variable]:
    """The weights of a layer as legacy files list them: those that are trained first."""
    if not layer.trainable:
        return layer.weights
    return layer.trainable_weights + layer.non_trainable_weights


def paths_inside(layer: Layer) -> dict[Variable, str]:
    """The path of each weight of a layer, which begins with the names of layers inside."""
    if isinstance(layer, Model):
        return {variable: path for path, variable in layer.named_variables()}
    return {variable: path.partition("/")[2] for path, variable in layer.named_variables()}


def own_variables(model: Layer) -> list[Variable]:
    """The weights that a model itself owns, as legacy files list them."""
    own = model._own_variables
    return [v for v in own if v.is_trainable_when_unfrozen] + [
        v for v in own if not v.is_trainable_when_unfrozen
    ]


def read_weights(
    matching: Matching,
    era: Era,
    origins: Mapping[tuple[str, ...], str],
    *,
    skip_shapes: bool = False,
    skip_numbers: bool = False,
) -> Values:
    """The values of a layer's weights.

    Args:
        matching: the layer.
        era: of the file.
        origins: as `upgrade` gave them.
        skip_shapes: whether to warn of weights of another shape, and leave them out.
        skip_numbers: whether to warn of a layer with another number of weights, and leave it out.

    Raises:
        FormatError: the number of weights, a shape or an element type differ.
    """
    layer, saved = matching.layer, matching.saved
    place = Place(saved.place.file, f"{saved.place.path} (layer '{layer.name}')")
    is_own = saved.name == TOP_LEVEL and isinstance(layer, Model)
    variables = own_variables(layer) if is_own else legacy_order(layer)
    arrays = _read_arrays(variables, saved, place, skip_shapes)
    if arrays is not None and not is_own:
        arrays = _in_order(layer, variables, saved.names, arrays)
        with locating({}, place):
            arrays = convert_weights(layer, arrays, era, origins, matching.path)
    if arrays is None or len(arrays) != len(variables):
        _refuse(place, f"needs {_described(variables)}, got {saved}", skip_numbers)
        return {}
    values: Values = {}
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape == variable.shape:
            values[variable] = _in_type(array, variable, era, place)
        else:
            shapes = f"{format_shape(variable.shape)}, got {format_shape(array.shape)}"
            message = f"the weight '{variable.name}' needs shape {shapes}"
            _refuse(place, message, skip_shapes)
    return values


def _refuse(place: Place, message: str, is_skipped: bool) -> None:
    if not is_skipped:
        raise place.error(message)
    warnings.warn(f"{place}: {message}; it stays as it is", stacklevel=2)


def _read_arrays(
    variables: list[Variable], saved: SavedLayer, place: Place, skip_shapes: bool
) -> list[Array] | None:
    """The arrays of a layer; None if they are more than it can have use for: none is read then.

    If shapes may differ, only those of too many elements are not read: nothing but their shape is
    looked at.
    """
    most = _MOST_TIMES_AS_MANY * sum(math.prod(variable.shape) for variable in variables)
    sizes = [math.prod(dataset.shape or ()) for dataset in saved.datasets]
    if sum(sizes) > most and not skip_shapes:
        return None
    where = place.path.partition(" ")[2]
    return [
        read_checked(dataset, f"{saved.place}/{name} {where}")
        if size <= most
        else np.broadcast_to(np.float32(0), dataset.shape)
        for name, dataset, size in zip(saved.names, saved.datasets, sizes, strict=True)
    ]


def _described(variables: list[Variable]) -> str:
    listed = ", ".join(f"{v.name} {format_shape(v.shape)}" for v in variables)
    return f"{len(variables)} weights ({listed})"


def _in_order(
    layer: Layer, variables: list[Variable], names: list[str], arrays: list[Array]
) -> list[Array]:
    """The arrays in the order of the variables, where their names tell all of them apart.

    Layers inside may have been frozen when the file was written, and not be now.
    """
    if len(names) != len(variables):
        return arrays
    paths = paths_inside(layer)
    found: list[int] = []
    parts = [_parts(name) for name in names]
    for variable in variables:
        *around, own = paths[variable].split("/")
        fitting = [
            index
            for index, part in enumerate(parts)
            if part[-1] == own and set(around) <= set(part[:-1])
        ]
        if len(fitting) != 1:
            return arrays
        found += fitting
    return [arrays[index] for index in found] if len(set(found)) == len(found) else arrays


def _parts(name: str) -> list[str]:
    return _ADDED.sub("", name).split("/")


def _in_type(array: Array, variable: Variable, era: Era, place: Place) -> Array:
    """The array in the variable's element type.

    Keras 1 and 2 computed in one type that configs do not name: their numbers may be rounded.
    """
    wanted = variable.type.dtype.numpy
    if array.dtype == wanted:
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(wanted)
    is_rounded = era.major < 3 and wanted.kind == array.dtype.kind == "f"
    if not np.array_equal(cast, array) and not (is_rounded and np.isfinite(cast).all()):
        raise place.error(
            f"the weight '{variable.name}' needs {variable.type.dtype.keras_name},"
            f" got {array.dtype}"
        )
    return cast


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _where(contents: Contents, group: str) -> str:
    return f"{contents.where}: {group}" if group else contents.where


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
