"""Weights in Keras 3's `.weights.h5`.

A layer's own weights are the datasets `0`, `1`, ... of its group `vars`. A model's layers are in
the groups `layers/<class>`, `layers/<class>_1`, ...; the class's name is in snake case and counted
in the order of `model.layers`. Layers in attributes of other layers are in groups of those names.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.formats.archive import is_archive, open_archive
from kcompile.formats.hdf5 import Contents, open_contents, read_dataset
from kcompile.ir.errors import FormatError, SpecError
from kcompile.ir.types import DType
from kcompile.layers import SpectralNormalization
from kcompile.layers.base import Layer
from kcompile.models import Functional, Model, Sequential
from kcompile.ops.naming import snake_case
from kcompile.ops.trace import unused_name
from kcompile.ops.variable import Variable
from kcompile.utils.atomic import replacing

if TYPE_CHECKING:
    import h5py

    from kcompile.formats.spec import Spec

SUFFIX = ".weights.h5"
#: What a training run leaves in the file, and a model does not need.
_NOT_OF_THE_MODEL = ("optimizer/",)
#: Where a layer's random numbers have come to, which only a training run goes on from.
_RANDOM_STATE = "/seed_generator/vars/0"
#: How many wrong weights a message names.
_NUM_NAMED = 5


@dataclass(frozen=True)
class Group:
    """The weights that a layer itself owns, and where they are in a file.

    Attributes:
        path: of the layer's group, `layers/dense`; empty for the model.
        layer: the layer.
        variables: its weights, in the order of the file.
    """

    path: str
    layer: Layer
    variables: tuple[Variable, ...]

    @property
    def variables_path(self) -> str:
        return f"{self.path}/vars" if self.path else "vars"


def save_weights(model: Model, filepath: str | Path, overwrite: bool = True) -> None:
    """Write the weights of a model to a file, which appears whole or not at all.

    Raises:
        SpecError: the file's name is not of this format, or the model has no weights yet.
        FormatError: the file is there, and is not to be overwritten.
    """
    import h5py

    path = _checked_path(filepath)
    groups = list(layer_groups(model))
    if path.exists() and not overwrite:
        raise FormatError("the file is there already", where=str(path), hint="Pass overwrite=True")
    with replacing(path) as part, h5py.File(part, "w") as file:
        write_groups(file, groups)


def write_groups(file: h5py.File, groups: Iterable[Group]) -> None:
    """Write the weights of layers into an open file."""
    for group in groups:
        own = file.create_group(group.variables_path)
        own.attrs["name"] = group.layer.name
        for index, variable in enumerate(group.variables):
            dataset = own.create_dataset(str(index), data=variable.numpy())
            if variable.type.dtype is DType.BFLOAT16:
                dataset.attrs["dtype"] = DType.BFLOAT16.keras_name


def load_weights(
    model: Model,
    filepath: str | Path,
    skip_mismatch: bool = False,
    by_name: bool = False,
    *,
    spec: Spec | None = None,
) -> None:
    """Read the weights of a model from a file: all of them, or none if anything does not fit.

    Args:
        model: whose weights are made.
        filepath: a `.weights.h5` file, a legacy `.h5` file or a `.keras` file: the contents tell
            which.
        skip_mismatch: whether layers that do not fit keep their weights, with a warning.
        by_name: of a legacy file: whether only layers that have a name in it get weights.
        spec: what the file of the model's architecture says, if there is one.

    Raises:
        SpecError: the model has no weights yet, or `by_name` is asked for of a `.weights.h5` file.
        FormatError: the file is malformed, or a weight is missing, surplus, NaN or of another
            shape or element type.
    """
    from kcompile.formats.legacy import h5_file

    path = Path(filepath)
    groups = list(layer_groups(model))
    with _opened(path) as contents:
        if h5_file.weights_group(contents) is not None:
            h5_file.load_weights(
                model,
                contents,
                by_name=by_name,
                skip_mismatch=skip_mismatch,
                origins=None if spec is None else spec.origins,
                renamed=None if spec is None else spec.renamed,
            )
            return
        if by_name:
            raise SpecError(
                "layers have no names in it",
                where=path.name,
                hint="Leave out by_name, which legacy .h5 files alone can be read with",
            )
        datasets = contents.datasets
        if skip_mismatch:
            groups, datasets = _fitting(groups, datasets, path.name)
        arrays = read_groups(groups, datasets, path.name)
    for variable, array in arrays.items():
        variable.assign(array)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Contents]:
    """What is in an HDF5 file, or in the one of a `.keras` file."""
    if not is_archive(path):
        with open_contents(path) as contents:
            yield contents
        return
    name = "model.weights.h5"
    with (
        open_archive(path) as archive,
        archive.open(name) as file,
        open_contents(file, f"{path.name}/{name}") as contents,
    ):
        yield contents


def _fitting(
    groups: list[Group], datasets: dict[str, h5py.Dataset], file_name: str
) -> tuple[list[Group], dict[str, h5py.Dataset]]:
    """The layers that the weights in a file fit, and these weights."""
    kept: list[Group] = []
    found: dict[str, h5py.Dataset] = {}
    for group in groups:
        prefix = f"{group.variables_path}/"
        own = {path: entry for path, entry in datasets.items() if path.startswith(prefix)}
        shapes = {f"{prefix}{i}": variable.shape for i, variable in enumerate(group.variables)}
        if shapes == {path: entry.shape for path, entry in own.items()}:
            kept.append(group)
            found |= own
        else:
            warnings.warn(
                f"{file_name}: {group.variables_path}: the weights of layer '{group.layer.name}'"
                " are others, and stay as they are",
                stacklevel=3,
            )
    return kept, found


def read_groups(
    groups: Iterable[Group], datasets: dict[str, h5py.Dataset], file_name: str
) -> dict[Variable, np.ndarray[Any, Any]]:
    """The arrays for all weights of a model's layers, which stay as they are.

    Args:
        groups: of the model.
        datasets: of an open file, by their paths.
        file_name: for messages.

    Raises:
        FormatError: as from `load_weights`.
    """
    expected = {
        f"{group.variables_path}/{index}": (group.layer, variable)
        for group in groups
        for index, variable in enumerate(group.variables)
    }
    arrays: dict[Variable, np.ndarray[Any, Any]] = {}
    kept = {
        name: dataset
        for name, dataset in datasets.items()
        if not name.startswith(_NOT_OF_THE_MODEL) and not name.endswith(_RANDOM_STATE)
    }
    _check_presence(expected, kept, file_name)
    for name, (layer, variable) in expected.items():
        where = f"{file_name}: {name} (weight '{variable.name}' of layer '{layer.name}')"
        array = read_dataset(kept[name], variable.type, where)
        if not np.array_equal(arrays.setdefault(variable, array), array):
            raise FormatError("the weight stands there twice, and differs", where=where)
    return arrays


def _check_presence(
    expected: dict[str, tuple[Layer, Variable]], found: dict[str, Any], file_name: str
) -> None:
    missing = [
        f"{name} (weight '{variable.name}' {variable.type} of layer '{layer.name}')"
        for name, (layer, variable) in expected.items()
        if name not in found
    ]
    surplus = [name for name in found if name not in expected]
    complaints = [
        f"{what}: {', '.join(names[:_NUM_NAMED])}"
        + (f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else "")
        for what, names in (
            ("the file lacks", missing),
            ("the model has no place for", surplus),
        )
        if names
    ]
    if complaints:
        raise FormatError(
            "; ".join(complaints),
            where=file_name,
            hint="The weights are of another model, or of other layers in it",
        )


def _checked_path(filepath: str | Path) -> Path:
    path = Path(filepath)
    if not path.name.endswith(SUFFIX):
        raise SpecError(
            f"'{path.name}' does not end in {SUFFIX}",
            where="weights",
            hint="The ending tells the format",
        )
    return path


def layer_groups(model: Model) -> Iterator[Group]:
    """The group of each layer in a model, the model first; a shared layer once.

    Raises:
        SpecError: a layer's weights are not made yet.
    """
    yield from _groups(model, "", set())


def _groups(layer: Layer, path: str, seen: set[Layer]) -> Iterator[Group]:
    if layer in seen:
        return
    seen.add(layer)
    if not layer.built:
        raise SpecError(
            "its weights are not made yet",
            where=f"layer '{layer.name}'",
            hint="Give the model an Input, or call it on data, first",
        )
    own = layer._own_variables
    ordered = [v for v in own if v.is_trainable_when_unfrozen]
    ordered += [v for v in own if not v.is_trainable_when_unfrozen]
    if isinstance(layer, SpectralNormalization):
        ordered = [layer.kernel, *ordered]
    yield Group(path, layer, tuple(ordered))
    prefix = f"{path}/" if path else ""
    if isinstance(layer, (Sequential, Functional)):
        yield from _container(layer.layers, f"{prefix}layers", seen)
        return
    for key, value in sorted(vars(layer).items()):
        if isinstance(value, Layer):
            yield from _groups(value, f"{prefix}{key}", seen)
        elif isinstance(value, (list, tuple, dict)) and key != "nodes":
            yield from _container(value, f"{prefix}{key}", seen)


def _container(entries: Any, path: str, seen: set[Layer]) -> Iterator[Group]:
    """Groups of the layers in a list, tuple or dict, named by their classes."""
    names: set[str] = set()
    for entry in entries.values() if isinstance(entries, dict) else entries:
        if isinstance(entry, Layer):
            name = unused_name(snake_case(type(entry).__name__), names)
            names.add(name)
            yield from _groups(entry, f"{path}/{name}", seen)
