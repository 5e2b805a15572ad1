"""What runs in a process of its own: an HDF5 file, or the one in a `.keras` file, as plain bytes.

`python -m kcompile.formats.isolated FILE FOLDER SECONDS BYTES` writes `index.json` and `data.bin`
into the folder, or prints why it does not; it may take so many seconds and bytes of memory.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kcompile.formats.archive import is_archive, open_archive
from kcompile.formats.hdf5 import Contents, open_contents, read_checked
from kcompile.formats.hdf5_attributes import has_attribute, read_names, read_text
from kcompile.ir.errors import FormatError

INDEX, DATA = "index.json", "data.bin"
WEIGHTS = "model.weights.h5"
#: Attributes of groups that are read from files of models.
TEXTS = ("model_config", "training_config", "keras_version", "backend", "name")
LISTS = ("layer_names", "weight_names")
#: The status of a process that has found something wrong with the file, and has said what.
REFUSED = 3


def main(path: Path, folder: Path) -> int:
    """Take a file apart; the status says whether it could be."""
    try:
        with (folder / DATA).open("wb") as data:
            index = _index(path, data)
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    except FormatError as error:
        reason = {"message": error.message, "where": error.where, "hint": error.hint}
        sys.stdout.write(json.dumps(reason))
        return REFUSED
    return 0


def _index(path: Path, data: BinaryIO) -> dict[str, Any]:
    """Texts, groups and datasets of a file; the arrays go to `data`."""
    with _opened(path) as (texts, contents):
        groups = {group: _attributes(contents, group) for group in contents.groups}
        datasets: dict[str, Any] = {}
        for name, dataset in contents.datasets.items():
            array = read_checked(dataset, f"{contents.where}: {name}")
            datasets[name] = [array.dtype.str, list(array.shape), data.tell()]
            data.write(array.tobytes())
        return {"texts": texts, "groups": groups, "datasets": datasets}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, str], Contents]]:
    """The texts of a `.keras` file, and what is in its HDF5 file; no texts for one that is that."""
    if not is_archive(path):
        with open_contents(path) as contents:
            yield {}, contents
        return
    with open_archive(path) as archive:
        texts = {name: archive.text(name) for name in archive.members if name != WEIGHTS}
        name = f"{path.name}/{WEIGHTS}"
        with archive.open(WEIGHTS) as inner, open_contents(inner, name) as contents:
            yield texts, contents


def _attributes(contents: Contents, group: str) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for name in TEXTS:
        if has_attribute(contents, group, name):
            found[name] = read_text(contents, group, name) or ""
    for name in LISTS:
        names = read_names(contents, group, name)
        if names is not None:
            found[name] = names
    return found


def limit(seconds: int, memory: int) -> None:
    """Bound what this process may take, on systems that can: it is ended, or gets no memory."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    limit(int(sys.argv[3]), int(sys.argv[4]))
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
