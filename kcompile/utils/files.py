"""Files from the network, kept in a local cache and checked against their checksum."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kcompile.ir.errors import FormatError, KCompileError
from kcompile.utils.folders import cache_dir

if TYPE_CHECKING:
    from http.client import HTTPResponse

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
MD5_DIGITS = 32


class DownloadError(KCompileError):
    """A file that could not be fetched whole."""


class ChecksumError(FormatError):
    """A file whose checksum is not the expected one."""


def get_file(
    fname: str, origin: str, file_hash: str | None, *, cache_subdir: str = "datasets"
) -> Path:
    """The path of a cached file, downloaded first when it isn't there.

    The file appears under its name only once it is whole and its checksum holds.

    Args:
        fname: name of the file in the cache.
        origin: URL to download from.
        file_hash: SHA-256 or, with 32 digits, MD5 of the file, in hexadecimal. Without one
            nothing but the length is checked.
        cache_subdir: folder below `cache_dir()`.

    Raises:
        ChecksumError: the cached or downloaded file is another one.
        DownloadError: the file isn't cached and can't be downloaded.
    """
    path = cache_dir() / cache_subdir / fname
    by_hand = f"download {origin} by hand to {path}"
    if file_hash is not None:
        by_hand += f"; its {_algorithm(file_hash)} must be {file_hash}"
    if path.exists():
        _check_hash(path, file_hash, str(path), f"Delete it, or {by_hand}")
        return path
    hint = f"If that doesn't pass, {by_hand}"
    path.parent.mkdir(parents=True, exist_ok=True)
    # A neighbour of the final place, so that the rename is atomic.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        part = Path(folder, path.name)
        with part.open("wb") as file:
            for chunk in _download(origin, hint):
                file.write(chunk)
        _check_hash(part, file_hash, origin, hint)
        part.replace(path)
    return path


def _algorithm(file_hash: str) -> str:
    return "MD5" if len(file_hash) == MD5_DIGITS else "SHA-256"


def _check_hash(path: Path, expected: str | None, where: str, hint: str) -> None:
    if expected is None:
        return
    name = _algorithm(expected)
    with path.open("rb") as file:
        received = hashlib.file_digest(file, name.lower().replace("-", "")).hexdigest()
    if received != expected.lower():
        raise ChecksumError(
            f"the file's {name} is {received}, not {expected}", where=where, hint=hint
        )


def _download(origin: str, hint: str) -> Iterator[bytes]:
    """The bytes behind a URL, chunk by chunk, with a progress bar on stderr."""
    # Costly to import, and needed only when something is fetched.
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(origin, timeout=TIMEOUT_SECONDS) as response:
            yield from _read(response, origin, hint)
    except (OSError, HTTPException) as error:
        raise DownloadError(f"can't download: {error}", where=origin, hint=hint) from error


def _read(response: HTTPResponse, origin: str, hint: str) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    length = response.length
    num_bytes = 0
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(origin.rpartition("/")[2], total=length)
        while chunk := response.read(CHUNK_BYTES):
            num_bytes += len(chunk)
            progress.update(task, completed=num_bytes)
            yield chunk
    if length is not None and num_bytes != length:
        raise DownloadError(
            f"the connection ended after {num_bytes} of {length} bytes", where=origin, hint=hint
        )
