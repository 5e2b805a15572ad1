"""Files taken apart in a process of their own, so that only plain bytes come back."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.formats.isolated import DATA, INDEX, LISTS, REFUSED, TEXTS, WEIGHTS
from kcompile.formats.json_text import parse_json
from kcompile.formats.place import Place, require_dict, require_known_keys, require_list
from kcompile.ir.errors import FormatError

#: Limits of the process, and what is added to them for each byte of the file.
SECONDS, SECONDS_FOR_A_BYTE = 60.0, 1 / 2**23
MEMORY, MEMORY_FOR_A_BYTE = 2**32, 4
_KINDS = "biuf"
_HINT = "Do not trust the file"


@contextlib.contextmanager
def isolated_copy(
    path: Path, seconds: float | None = None, memory: int | None = None
) -> Iterator[Path]:
    """A clean file of the same content and name, written here of what another process has read.

    Args:
        path: of a `.keras` file, or of an HDF5 file.
        seconds: that the process may take.
        memory: bytes of address space that it may have; on systems that can limit it.

    Raises:
        FormatError: the file is refused, or the process crashed or went over its limits.
    """
    size = _size(path)
    with tempfile.TemporaryDirectory() as folder:
        parts, clean = Path(folder, "parts"), Path(folder, "clean", path.name)
        parts.mkdir()
        clean.parent.mkdir()
        _run(
            path,
            parts,
            seconds or SECONDS + size * SECONDS_FOR_A_BYTE,
            memory or MEMORY + size * MEMORY_FOR_A_BYTE,
        )
        place = Place(path.name)
        index = _read_index(parts, place)
        _write(clean, index, parts / DATA, place)
        for name in (INDEX, DATA):
            (parts / name).unlink()
        yield clean


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _run(path: Path, folder: Path, seconds: float, memory: int) -> None:
    """Let another process take the file apart.

    Raises:
        FormatError: it refused to, crashed, or went over its limits.
    """
    command = [sys.executable, "-P", "-m", "kcompile.formats.isolated"]
    arguments = [str(path.absolute()), str(folder), str(math.ceil(seconds)), str(memory)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OPENBLAS_NUM_THREADS": "1",  # each thread takes address space
        "PYTHONWARNINGS": "ignore",
    }
    try:
        done = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise FormatError(
            f"it could not be taken apart in {seconds:.0f} s", where=path.name, hint=_HINT
        ) from None
    if done.returncode == REFUSED:
        reason = require_dict(parse_json(done.stdout.decode(), Place(path.name)), Place(path.name))
        raise FormatError(
            str(reason.get("message")), where=reason.get("where"), hint=reason["hint"]
        )
    if done.returncode:
        what = f"status {done.returncode}"
        if done.returncode < 0:
            what = f"signal {signal.Signals(-done.returncode).name}"
        elif b"MemoryError" in done.stderr:
            what = f"more than {memory} bytes of memory needed"
        raise FormatError(
            f"the process that took it apart failed: {what}", where=path.name, hint=_HINT
        )


def _read_index(folder: Path, place: Place) -> dict[str, Any]:
    """What the process says that it found; it is not trusted either."""
    index = require_dict(parse_json((folder / INDEX).read_text("utf-8"), place), place)
    require_known_keys(index, ("texts", "groups", "datasets"), place)
    for key in ("texts", "groups", "datasets"):
        require_dict(index.get(key), place / key)
    return index


def _write(clean: Path, index: dict[str, Any], data: Path, place: Place) -> None:
    """Write the file again: `.keras` if it had texts."""
    import h5py

    weights = clean.with_name(WEIGHTS) if index["texts"] else clean
    with h5py.File(weights, "w") as file:
        for name, attributes in index["groups"].items():
            group = file.require_group(name) if name else file
            _write_attributes(group, require_dict(attributes, place / name))
        _write_arrays(file, index["datasets"], data, place)
    if index["texts"]:
        with zipfile.ZipFile(clean, "w", zipfile.ZIP_STORED) as archive:
            for name, text in index["texts"].items():
                archive.writestr(name, text)
            archive.write(weights, WEIGHTS)
        weights.unlink()


def _write_attributes(group: Any, attributes: dict[str, Any]) -> None:
    from kcompile.formats.legacy.h5_writer import write_names

    for name, value in attributes.items():
        if name in TEXTS:
            _write_text(group, name, str(value))
        elif name in LISTS:
            write_names(group, name, [str(entry) for entry in value])


def _write_text(group: Any, name: str, text: str) -> None:
    """Write a text of any length; those above 64 KB stand outside of the group's header."""
    import h5py

    group.attrs.create(name, text, dtype=h5py.string_dtype())


def _write_arrays(file: Any, datasets: dict[str, Any], data: Path, place: Place) -> None:
    whole = np.memmap(data, np.uint8, "r") if data.stat().st_size else np.zeros(0, np.uint8)
    for name, entry in datasets.items():
        below = place / "datasets" / name
        kind, shape, begin = (*require_list(entry, below), None, None, None)[:3]
        dtype = np.dtype(kind) if isinstance(kind, str) and kind[1:2] in _KINDS else None
        if dtype is None or not all(type(size) is int and size >= 0 for size in [*shape, begin]):
            raise below.error("is no array of numbers")
        size = math.prod(shape) * dtype.itemsize
        if begin + size > len(whole):
            raise below.error("its data are missing")
        array = np.frombuffer(whole[begin : begin + size], dtype).reshape(shape)
        file.create_dataset(name, data=array)
