"""The weights of a TF.js model: a manifest, and shards of bytes beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.layer_weights import legacy_order
from kcompile.formats.legacy.weight_forms import convert_weights
from kcompile.formats.place import (
    Place,
    locating,
    require_dict,
    require_keys,
    require_known_keys,
    require_list,
    shorten,
)
from kcompile.ir.types import format_shape
from kcompile.layers import Layer
from kcompile.models import Model
from kcompile.ops.variable import Variable

Array = np.ndarray[Any, Any]

#: Element types, in the order of bytes that JavaScript has everywhere.
_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
    "uint16": np.dtype("<u2"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("u1"),
}
#: What a type may be stored as.
_QUANTIZED = {"float32": ("uint8", "uint16", "float16"), "int32": ("uint8", "uint16")}
#: Names that weights had, by those that they have.
_ONCE = {"kernel": "depthwise_kernel"}
#: cuDNN's recurrent layers have two biases, of which today's have the sum.
_MOST_TIMES_AS_MANY = 2
_NUM_NAMED = 5


@dataclass(frozen=True)
class Shards:
    """Files that hold bytes one after the other.

    Attributes:
        paths: of the files.
        sizes: their numbers of bytes.
    """

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]

    def read(self, start: int, number: int, place: Place) -> bytearray:
        """`number` bytes from `start` on.

        Raises:
            FormatError: a file has fewer than it had.
        """
        data = bytearray(number)
        view, done, offset = memoryview(data), 0, 0
        for path, size in zip(self.paths, self.sizes, strict=True):
            skip, offset = start + done - offset, offset + size
            if done == number or skip >= size:
                continue
            wanted = min(size - skip, number - done)
            with path.open("rb") as file:
                file.seek(skip)
                if file.readinto(view[done : done + wanted]) != wanted:
                    raise place.error(f"the shard '{path.name}' ends too soon")
            done += wanted
        return data


@dataclass(frozen=True)
class StoredWeight:
    """A weight in the manifest.

    Attributes:
        name: `dense/kernel`.
        shape: sizes.
        dtype: of the weight.
        stored: the element type in the shards.
        scale, minimum: `weight = scale * stored + minimum`, where it is quantized.
        shards: where it is.
        start: its first byte in them.
        place: in the manifest.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    scale: float | None
    minimum: float
    shards: Shards = field(repr=False)
    start: int
    place: Place

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * _DTYPES[self.stored].itemsize

    def read(self) -> Array:
        """The array.

        Raises:
            FormatError: bytes are missing, or an element is NaN, or no bool.
        """
        data = self.shards.read(self.start, self.num_bytes, self.place)
        array = np.frombuffer(data, _DTYPES[self.stored]).reshape(self.shape)
        if self.scale is not None:
            # In double precision, as JavaScript computes; rounding as its Math.round does.
            wide = array * np.float64(self.scale) + self.minimum
            array = np.floor(wide + 0.5) if self.dtype == "int32" else wide
        if self.dtype == "bool" and array.size and array.max() > 1:
            raise self.place.error("an element is neither 0 nor 1")
        array = array.astype(self.dtype, copy=False)
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise self.place.error(f"{int(np.isnan(array).sum())} of {array.size} elements are NaN")
        return array


Manifest = dict[str, StoredWeight]


def read_manifest(groups: Any, folder: Path, place: Place) -> Manifest:
    """The weights in a manifest by name, but for an optimizer's; no shard is read yet.

    Raises:
        FormatError: the manifest is malformed, a shard is not a file in the folder, or the shards
            of a group do not have the bytes of its weights.
    """
    manifest: Manifest = {}
    for index, group in enumerate(require_list(groups, place)):
        for weight, of_optimizer in _read_group(group, folder, place[index]):
            if weight.name in manifest:
                raise weight.place.error(f"the weight '{weight.name}' stands there twice")
            if not of_optimizer:
                manifest[weight.name] = weight
    return manifest


def _read_group(group: Any, folder: Path, place: Place) -> Iterator[tuple[StoredWeight, bool]]:
    require_dict(group, place)
    require_known_keys(group, ("paths", "weights"), place)
    require_keys(group, ("paths", "weights"), place)
    shards = _find_shards(group["paths"], folder, place / "paths")
    start = 0
    for index, entry in enumerate(require_list(group["weights"], place / "weights")):
        at = (place / "weights")[index]
        weight = _read_weight(require_dict(entry, at), shards, start, at)
        start += weight.num_bytes
        yield weight, entry.get("group") == "optimizer"
    if start != sum(shards.sizes):
        raise (place / "paths").error(
            f"the weights need {start} bytes, and the shards have {sum(shards.sizes)}"
        )


def _find_shards(names: Any, folder: Path, place: Place) -> Shards:
    paths = []
    for index, name in enumerate(require_list(names, place)):
        if not isinstance(name, str) or not _is_plain(name):
            raise place[index].error(
                f"needs the name of a file beside {place.file}, got {shorten(name)}"
            )
        if not (folder / name).is_file():
            raise place[index].error(f"there is no file {name!r} beside {place.file}")
        paths.append(folder / name)
    return Shards(tuple(paths), tuple(path.stat().st_size for path in paths))


def _is_plain(name: str) -> bool:
    """Whether it is the name of a file in the same folder, on every system."""
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set('/\\:*?"<>|')


def _read_weight(entry: dict[str, Any], shards: Shards, start: int, place: Place) -> StoredWeight:
    require_known_keys(entry, ("name", "shape", "dtype", "quantization", "group"), place)
    require_keys(entry, ("name", "shape", "dtype"), place)
    name, shape, dtype = entry["name"], entry["shape"], entry["dtype"]
    if not isinstance(name, str):
        raise (place / "name").error(f"needs a string, got {shorten(name)}")
    for size in require_list(shape, place / "shape"):
        if type(size) is not int or size < 0:
            raise (place / "shape").error(f"needs sizes, got {shorten(shape)}")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise (place / "dtype").error(f"needs one of {', '.join(_DTYPES)}, got {shorten(dtype)}")
    stored, scale, minimum = dtype, None, 0.0
    if "quantization" in entry:
        stored, scale, minimum = _read_quantization(entry, place / "quantization")
    return StoredWeight(name, tuple(shape), dtype, stored, scale, minimum, shards, start, place)


def _read_quantization(entry: dict[str, Any], place: Place) -> tuple[str, float | None, float]:
    """The element type stored, scale and minimum."""
    quantization = require_dict(entry["quantization"], place)
    require_known_keys(quantization, ("dtype", "scale", "min", "original_dtype"), place)
    dtype, stored = entry["dtype"], quantization.get("dtype")
    known = _QUANTIZED.get(dtype, ())
    if stored not in known:
        listed = ", ".join(known) or "nothing"
        raise (place / "dtype").error(f"{dtype} may be {listed}, got {shorten(stored)}")
    if quantization.get("original_dtype", dtype) != dtype:
        raise (place / "original_dtype").error(
            f"needs '{dtype}', got {shorten(quantization['original_dtype'])}"
        )
    if stored == "float16":
        require_known_keys(quantization, ("dtype", "original_dtype"), place)
        return stored, None, 0.0
    require_keys(quantization, ("scale", "min"), place)
    for key in ("scale", "min"):
        if type(quantization[key]) not in (int, float):
            raise (place / key).error(f"needs a number, got {shorten(quantization[key])}")
    return stored, float(quantization["scale"]), float(quantization["min"])


def fill_model(
    model: Model,
    manifest: Manifest,
    era: Era,
    origins: Mapping[tuple[str, ...], str],
    renamed: Mapping[tuple[str, ...], str],
) -> None:
    """Give a model the weights in a manifest: all of them, or none if anything does not fit.

    Args:
        model: whose weights are made.
        manifest: the weights.
        era: of the file.
        origins, renamed: as `upgrade` gave them.

    Raises:
        FormatError: a weight is missing, surplus, NaN or of another shape.
    """
    found = _match(model, manifest, {path[-1]: name for path, name in renamed.items()})
    values: dict[Variable, Array] = {}
    for layer in model.layers:
        variables = legacy_order(layer)
        stored = [found[variable] for variable in variables]
        if stored:
            arrays = _read_layer(layer, stored, variables)
            place = stored[0].place
            with locating({layer.name: place}, place):
                arrays = convert_weights(layer, arrays, era, origins, (layer.name,))
            values |= _checked(layer, variables, arrays, place)
    for variable, array in values.items():
        variable.assign(array)


def _read_layer(layer: Layer, stored: list[StoredWeight], variables: list[Variable]) -> list[Array]:
    """The arrays of a layer, whose shapes in the manifest are no larger than it can use."""
    for weight, variable in zip(stored, variables, strict=True):
        if math.prod(weight.shape) > _MOST_TIMES_AS_MANY * math.prod(variable.shape):
            raise weight.place.error(_misfit(layer, variable, weight.shape))
    return [weight.read() for weight in stored]


def _checked(
    layer: Layer, variables: list[Variable], arrays: list[Array], place: Place
) -> dict[Variable, Array]:
    if len(arrays) != len(variables):
        raise place.error(
            f"the layer '{layer.name}' needs {len(variables)} weights, got {len(arrays)}"
        )
    values = {}
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape != variable.shape:
            raise place.error(_misfit(layer, variable, array.shape))
        cast = array.astype(variable.type.dtype.numpy, copy=False)
        if not np.array_equal(cast, array):
            wanted = variable.type.dtype.keras_name
            raise place.error(
                f"the weight '{variable.path}' needs {wanted}, got {array.dtype.name}"
            )
        values[variable] = cast
    return values


def _misfit(layer: Layer, variable: Variable, shape: tuple[int, ...]) -> str:
    return (
        f"the weight '{variable.name}' of layer '{layer.name}' needs shape"
        f" {format_shape(variable.shape)}, got {format_shape(shape)}"
    )


# Names


def _match(
    model: Model, manifest: Manifest, renamed: Mapping[str, str]
) -> dict[Variable, StoredWeight]:
    """The weight in the manifest for each of the model's.

    Raises:
        FormatError: there is none, or several, or some belong to nothing.
    """
    paths = {
        v: [part for name in path.split("/") for part in renamed.get(name, name).split("/")]
        for path, v in model.named_weights().items()
    }
    numbered = _numbered(model)
    found: dict[Variable, StoredWeight] = {}
    surplus = []
    place = Place("model.json", "weightsManifest")
    for name, weight in manifest.items():
        place = weight.place
        fitting = [numbered[name]] if name in numbered else _fitting(name.split("/"), paths)
        if not fitting:
            surplus.append(name)
            continue
        if len(fitting) > 1 or fitting[0] in found:
            listed = ", ".join(f"'{'/'.join(paths[variable])}'" for variable in fitting)
            raise weight.place.error(f"the weight '{name}' may be that of {listed}")
        found[fitting[0]] = weight
    missing = [f"{'/'.join(path)} {v.type}" for v, path in paths.items() if v not in found]
    for what, names in (("the file lacks", missing), ("the model has no place for", surplus)):
        if names:
            more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
            raise Place(place.file, "weightsManifest").error(
                f"{what}: {', '.join(names[:_NUM_NAMED])}{more}"
            )
    return found


def _numbered(model: Model) -> dict[str, Variable]:
    """Weights as files of Keras 3 name them: `dense/0`. Of layers that have none inside."""
    return {
        f"{layer.name}/{index}": variable
        for layer in model.layers
        if len(layer._own_variables) == len(layer.weights)
        for index, variable in enumerate(legacy_order(layer))
    }


def _fitting(name: list[str], paths: Mapping[Variable, list[str]]) -> list[Variable]:
    """The weights that a name may stand for.

    Names leave out layers around or inside of others, and cells are numbered otherwise.
    """
    exact = [variable for variable, path in paths.items() if path == name]
    for parts in (name, [*name[:-2], name[-1]]):
        if exact or len(parts) < 2:
            return exact
        exact = [variable for variable, path in paths.items() if _leads_to(parts, path)]
    return exact


def _leads_to(name: list[str], path: list[str]) -> bool:
    """Whether a weight's name is a path with parts left out, of which the last is none."""
    if name[-1] not in (path[-1], _ONCE.get(path[-1])):
        return False
    rest = iter(path[:-1])
    return all(part in rest for part in name[:-1])
