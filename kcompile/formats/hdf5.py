"""HDF5 files, read without trust: groups of plain arrays, and nothing that leads elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.ir.errors import FormatError
from kcompile.ir.types import TensorType, format_shape

if TYPE_CHECKING:
    import h5py

MAX_OBJECTS = 1_000_000
MAX_DEPTH = 64
#: Filters that HDF5 itself brings: deflate, shuffle, fletcher32. Others would load plug-ins.
_FILTERS = (1, 2, 3)


@contextlib.contextmanager
def open_datasets(path: Path) -> Iterator[dict[str, h5py.Dataset]]:
    """Every dataset of a file by its path, while the file is open; none is read yet.

    Raises:
        FormatError: the file cannot be opened, or holds a link, a dataset whose data are elsewhere,
            or a group inside itself.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = "there is no such file" if not path.exists() else f"it is not HDF5: {error}"
        raise FormatError(reason, where=str(path)) from error
    with file:
        with _damage_at(path.name):
            datasets = dict(_walk(file, path.name))
        yield datasets


@contextlib.contextmanager
def _damage_at(where: str) -> Iterator[None]:
    """Turn what h5py raises about damaged files into a `FormatError`."""
    try:
        yield
    except FormatError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
        raise FormatError(f"the file is damaged: {error}", where=where) from error


def _walk(file: h5py.File, where: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """The datasets below the root. Only hard links are followed, and to each object once."""
    import h5py

    seen: set[int] = set()
    stack: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while stack:
        prefix, group, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise FormatError(f"groups are nested more than {MAX_DEPTH} deep", where=where)
        for name in group:
            path = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise FormatError("it is a link to another place", where=f"{where}: {path}")
            entry = group[name]
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                raise FormatError("it stands in the file twice", where=f"{where}: {path}")
            seen.add(address)
            if len(seen) > MAX_OBJECTS:
                raise FormatError(f"it holds more than {MAX_OBJECTS} objects", where=where)
            if isinstance(entry, h5py.Group):
                stack.append((f"{path}/", entry, depth + 1))
            elif isinstance(entry, h5py.Dataset):
                _check_storage(entry, f"{where}: {path}")
                yield path, entry
            else:
                raise FormatError("it is neither a group nor an array", where=f"{where}: {path}")


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    properties = dataset.id.get_create_plist()
    if properties.get_external_count() or dataset.is_virtual:
        raise FormatError("its data are in another file", where=where)
    for index in range(properties.get_nfilters()):
        if properties.get_filter(index)[0] not in _FILTERS:
            raise FormatError("it is compressed in a way that is not known", where=where)


def read_dataset(dataset: h5py.Dataset, type: TensorType, where: str) -> np.ndarray[Any, Any]:
    """The array of a dataset, which has to be of a type; held against it before it is read.

    Raises:
        FormatError: shape or element type differ, data are missing, or an element is NaN.
    """
    with _damage_at(where):
        if dataset.shape != type.static_shape:
            found = "nothing" if dataset.shape is None else format_shape(dataset.shape)
            raise FormatError(f"needs shape {format_shape(type.shape)}, got {found}", where=where)
        if dataset.dtype.newbyteorder("=") != type.dtype.numpy:
            raise FormatError(f"needs {type.dtype.keras_name}, got {dataset.dtype}", where=where)
        if dataset.chunks is None and dataset.id.get_storage_size() < dataset.nbytes:
            raise FormatError("its data are missing", where=where)
        array = np.asarray(dataset[()], type.dtype.numpy)
    if type.dtype.is_floating and np.isnan(array).any():
        raise FormatError(
            f"{int(np.isnan(array).sum())} of {array.size} elements are NaN",
            where=where,
            hint="The model was damaged in training; use an earlier file",
        )
    return array
