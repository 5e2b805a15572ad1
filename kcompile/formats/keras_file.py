"""`.keras` files: a zip of `metadata.json`, `config.json` and `model.weights.h5`."""

from __future__ import annotations

import datetime
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.formats import training_config
from kcompile.formats.archive import Archive, open_archive
from kcompile.formats.hdf5 import open_datasets, read_dataset
from kcompile.formats.json_text import parse_json
from kcompile.formats.legacy.era import parse_era
from kcompile.formats.legacy.upgrade import upgrade
from kcompile.formats.place import Place, require_dict, require_keys, require_known_keys, shorten
from kcompile.formats.reading import require_modules
from kcompile.formats.spec import Spec
from kcompile.formats.weights import layer_groups, read_groups, write_groups
from kcompile.formats.writing import model_config
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType, TensorType
from kcompile.ops.naming import snake_case
from kcompile.ops.trace import unused_name
from kcompile.utils.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcompile.models import Model

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
#: The Keras whose form is written.
KERAS_VERSION = "3.15.1"
_ASSETS = "assets/"
_VOCABULARY = "vocabulary.txt"
_LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization")
_OPTIMIZER = "optimizer/vars/"


def read(path: Path, activations: Mapping[str, str] | None = None) -> Spec:
    """What a `.keras` file says of its model; weights are read by the spec's `fill`.

    Args:
        path: of the file.
        activations: what names stand for that no activation has.

    Raises:
        FormatError: it is not such a file, or holds what a file may not hold.
    """
    place = Place(path.name)
    with open_archive(path) as archive:
        metadata = _metadata(archive)
        era = parse_era(metadata["keras_version"], None, place / METADATA)
        config_place = Place(f"{path.name}/{CONFIG}")
        entry = require_dict(parse_json(archive.text(CONFIG), config_place), config_place)
        if era.major >= 3:
            require_modules(entry, config_place)
        _check_members(archive)
        entry, used = _with_vocabularies(entry, archive, config_place)
        if surplus := sorted(_assets(archive) - used):
            raise place.error(f"no layer has a place for {surplus[0]}")
    training = entry.pop("compile_config", None) or None
    upgraded = upgrade(entry, era, config_place, activations)

    def fill(model: Model) -> None:
        with open_archive(path) as again, again.open(WEIGHTS) as file:
            name = f"{path.name}/{WEIGHTS}"
            with open_datasets(file, name) as datasets:
                if not datasets and not model.built:
                    return  # it was saved before it knew its inputs
                groups = list(layer_groups(model))
                arrays = read_groups(groups, _without_assets(datasets), name)
        for variable, array in arrays.items():
            variable.assign(array)

    def fill_optimizer(model: Model) -> None:
        with open_archive(path) as again, again.open(WEIGHTS) as file:
            name = f"{path.name}/{WEIGHTS}"
            with open_datasets(file, name) as datasets:
                _fill_optimizer(model, datasets, name)

    return Spec(upgraded.config, config_place, str(era), fill, training, fill_optimizer)


def _metadata(archive: Archive) -> dict[str, Any]:
    place = Place(f"{archive.place.file}/{METADATA}")
    metadata = require_dict(parse_json(archive.text(METADATA), place), place)
    require_known_keys(metadata, ("keras_version", "date_saved", "loading_mode"), place)
    require_keys(metadata, ("keras_version",), place)
    if not isinstance(metadata["keras_version"], str):
        raise (place / "keras_version").error(
            f"needs a version, got {shorten(metadata['keras_version'])}"
        )
    return metadata


def _check_members(archive: Archive) -> None:
    for name in archive.members:
        if name not in (CONFIG, METADATA, WEIGHTS) and not name.startswith(_ASSETS):
            raise archive.place.error(
                f"the member {shorten(name)} is not one of a .keras file",
                hint=f"It has {METADATA}, {CONFIG}, {WEIGHTS} and {_ASSETS}",
            )
    if WEIGHTS not in archive.members:
        raise archive.place.error(f"the archive has no {WEIGHTS}")


# Vocabularies


def _assets(archive: Archive) -> set[str]:
    return {name for name in archive.members if name.startswith(_ASSETS)}


def _with_vocabularies(
    entry: dict[str, Any], archive: Archive, place: Place
) -> tuple[dict[str, Any], set[str]]:
    """The config with vocabularies that stand in files of the archive, and those files' names."""
    used: set[str] = set()
    if not _assets(archive):
        return entry, used
    for path, layer in _paths(entry, ""):
        if layer.get("class_name") not in _LOOKUPS:
            continue
        found = {
            name: archive.text(name)
            for inner in (path, f"{path}/_lookup_layer")
            if (name := f"{_ASSETS}{inner}/{_VOCABULARY}") in archive.members
        }
        if not found:
            continue
        used |= set(found)
        config = require_dict(layer.get("config"), place)
        texts = set(found.values())
        if len(texts) > 1 or config.get("vocabulary") is not None:
            raise place.error(f"the vocabulary of {shorten(path)} stands there in two places")
        tokens = _tokens(texts.pop(), layer["class_name"], Place(min(found)))
        if config.get("output_mode") == "tf_idf":
            config["idf_weights"] = _idf_weights(archive, path, len(tokens))
        config["vocabulary"] = tokens
    return entry, used


def _tokens(text: str, class_name: str, place: Place) -> list[Any]:
    lines = text.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if class_name != "IntegerLookup":
        return lines
    if not all(line.removeprefix("-").isdecimal() and len(line) < 21 for line in lines):
        raise place.error("needs an integer in each line")
    return [int(line) for line in lines]


def _idf_weights(archive: Archive, path: str, num_tokens: int) -> list[float]:
    name = f"{archive.place.file}/{WEIGHTS}"
    with archive.open(WEIGHTS) as file, open_datasets(file, name) as datasets:
        dataset = datasets.get(f"{path}/vars/idf_weights")
        if dataset is None:
            raise Place(name).error(f"{path}/vars has no idf_weights")
        type = TensorType(DType.FLOAT32, (num_tokens,))
        return read_dataset(dataset, type, f"{name}: {path}/vars/idf_weights").tolist()


def _without_assets(datasets: dict[str, Any]) -> dict[str, Any]:
    """The datasets without those that `_with_vocabularies` reads."""
    return {n: dataset for n, dataset in datasets.items() if not n.endswith("/vars/idf_weights")}


def _paths(entry: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Layers in models, with the paths under which Keras keeps what is theirs."""
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list):
        return
    names: set[str] = set()
    for inner in layers:
        if isinstance(inner, dict) and isinstance(inner.get("class_name"), str):
            name = unused_name(snake_case(inner["class_name"]), names)
            names.add(name)
            below = f"{path}/layers/{name}" if path else f"layers/{name}"
            yield below, inner
            yield from _paths(inner, below)


# The optimizer


def _fill_optimizer(model: Model, datasets: dict[str, Any], name: str) -> None:
    """Give the optimizer of a compiled model its state, if the file has one."""
    found = {key: dataset for key, dataset in datasets.items() if key.startswith(_OPTIMIZER)}
    layout = training_config.optimizer_layout(model)
    if not found or layout is None:
        return
    keys = [f"{_OPTIMIZER}{index}" for index in range(len(layout))]
    if set(found) == set(keys[: _num_before_training(layout)]) != set(keys):
        return  # Keras had not begun to train
    if set(keys) != set(found):
        raise Place(name).error(
            f"optimizer/vars has {len(found)} arrays, and the optimizer '{model.optimizer.name}'"
            f" has {len(layout)}",
            hint="Pass compile=False to read the model alone",
        )
    arrays = [
        read_dataset(found[key], slot.type, f"{name}: {key} (the optimizer's {slot.name})")
        for key, slot in zip(keys, layout, strict=True)
    ]
    training_config.restore_optimizer(model, arrays)


def _num_before_training(layout: Sequence[Any]) -> int:
    """How many arrays Keras keeps before the first step: those that are for no weight."""
    return sum(not slot.kind and not slot.weight for slot in layout)


# Writing


def write(model: Model, path: Path, include_optimizer: bool = True) -> None:
    """Write a model to a file, which appears whole or not at all.

    Args:
        path: of the file.
        include_optimizer: whether to write how the model is trained, and the optimizer's state.

    Raises:
        SpecError: a part of the model has no form in a file, or it has no weights yet.
    """
    import h5py

    groups = list(layer_groups(model))
    training = training_config.compile_config(model) if include_optimizer else {}
    config = json_text({**model_config(model), "compile_config": training}, model)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = json.dumps({"keras_version": KERAS_VERSION, "date_saved": now})
    with replacing(path) as part:
        weights = part.with_name("weights.part")
        with h5py.File(weights, "w") as file:
            write_groups(file, groups)
            if training:
                _write_optimizer(file, model)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, text in ((METADATA, metadata), (CONFIG, config)):
                archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)
            archive.write(weights, WEIGHTS)


def json_text(config: dict[str, Any], model: Model) -> str:
    """A model's config as text.

    Raises:
        SpecError: a value of it has no form in JSON.
    """
    try:
        return json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"JSON has no form for a value in it: {error}", where=f"model '{model.name}'"
        ) from error


def _write_optimizer(file: Any, model: Model) -> None:
    arrays = training_config.optimizer_arrays(model)
    _write_arrays(file, _OPTIMIZER, model.optimizer.name, arrays)
    inner = [
        array
        for slot, array in zip(training_config.optimizer_layout(model) or (), arrays, strict=True)
        if not slot.is_outer
    ]
    if len(inner) < len(arrays):  # Keras writes what is inside a second time
        name = model.optimizer.inner_optimizer.name
        _write_arrays(file, "optimizer/inner_optimizer/vars/", name, inner)


def _write_arrays(file: Any, path: str, name: str, arrays: Sequence[Any]) -> None:
    group = file.create_group(path)
    group.attrs["name"] = name
    for index, array in enumerate(arrays):
        group.create_dataset(str(index), data=array)
