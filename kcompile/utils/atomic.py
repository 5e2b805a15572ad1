"""Files that appear whole or not at all. Every floor may use this: it imports nothing of ours."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to; when the block ends without an error the file is renamed to `path`.

    The file is on the disk before it gets its name, so that `path` holds the old contents or the
    new ones, whenever the process or the machine stops. After an error `path` is as it was and
    nothing is left beside it.
    """
    path = Path(path)
    require_folder(path)
    # A neighbour of the final place, so that the rename is atomic. A folder, so that the file gets
    # the permissions that any new file gets. What a killed process leaves there has the ending of
    # no file of a model.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        part = Path(folder, f"{path.name}.part")
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)


def require_folder(path: str | Path) -> None:
    """Check that the folder which a file is to be written into is there.

    Raises:
        FileNotFoundError: it is not; names it.
    """
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file, atomically."""
    with replacing(path) as part:
        part.write_bytes(data)
