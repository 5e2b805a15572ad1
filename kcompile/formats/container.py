"""The container that executables are kept in.

    offset  bytes  what
    0       8      MAGIC
    8       4      version, little-endian
    12      32     SHA-256 of the 12 bytes before it and of all that follows
    44      8      length of the header, little-endian
    52      ...    header: JSON in UTF-8, an object
    ...     ...    blobs, one after the other, as the header's key `blobs` lists them: [name, bytes]

The checksum finds damage. It does not tell who wrote the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from kcompile.formats.json_text import parse_json
from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError

#: Not text, and broken by whatever changes line ends.
MAGIC = b"\x93KCX\r\n\x1a\n"
VERSION = 1
_PREFIX = struct.Struct("<8sI")
_LENGTH = struct.Struct("<Q")
_DIGEST_BYTES = hashlib.sha256().digest_size
_START = _PREFIX.size + _DIGEST_BYTES + _LENGTH.size
_CHUNK_BYTES = 2**20
MAX_HEADER_BYTES = 2**26


def is_container(path: str | Path) -> bool:
    """Whether a file begins as a container does.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def pack(header: Mapping[str, Any], blobs: Mapping[str, bytes]) -> bytes:
    """The bytes of a container; equal contents give equal bytes."""
    listed = [[name, len(blob)] for name, blob in blobs.items()]
    text = json.dumps({**header, "blobs": listed}, sort_keys=True, allow_nan=False).encode()
    prefix = _PREFIX.pack(MAGIC, VERSION)
    rest = [_LENGTH.pack(len(text)), text, *blobs.values()]
    digest = hashlib.sha256(prefix)
    for part in rest:
        digest.update(part)
    return b"".join([prefix, digest.digest(), *rest])


def unpack(path: str | Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Header and blobs of the container in a file.

    Nothing is allocated that is larger than the file, and nothing in it is looked at before its
    checksum holds.

    Raises:
        FormatError: it is no container, of another version, cut short or damaged.
        OSError: it cannot be read.
    """
    place = Place(Path(path).name)
    with Path(path).open("rb") as file:
        length = _checked_header_length(file, place)
        text = file.read(length)
        header = _header(text, place)
        left = os.fstat(file.fileno()).st_size - file.tell()
        sizes = _blob_sizes(header.pop("blobs", None), left, place)
        return header, {name: file.read(size) for name, size in sizes}


def _checked_header_length(file: BinaryIO, place: Place) -> int:
    """The length of the header; the file stands at its begin, and its checksum holds."""
    start = file.read(_START)
    if not start.startswith(MAGIC):
        raise place.error("it is no executable of kcompile")
    if len(start) < _START:
        raise _cut(place)
    _, version = _PREFIX.unpack_from(start)
    if version != VERSION:
        raise place.error(
            f"it is an executable in version {version} of the form, and version {VERSION} is read",
            hint="Compile the model again",
        )
    digest = hashlib.sha256(start[: _PREFIX.size] + start[-_LENGTH.size :])
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    if digest.digest() != start[_PREFIX.size : -_LENGTH.size]:
        raise place.error(
            "its checksum does not hold: it was damaged or cut short",
            hint="Compile the model again",
        )
    (length,) = _LENGTH.unpack_from(start, _START - _LENGTH.size)
    if length > min(file.tell() - _START, MAX_HEADER_BYTES):
        raise _cut(place)
    file.seek(_START)
    return int(length)


def _header(text: bytes, place: Place) -> dict[str, Any]:
    try:
        header = parse_json(text.decode(), place)
    except UnicodeDecodeError:
        raise place.error("its header is no UTF-8") from None
    if not isinstance(header, dict):
        raise place.error("its header is no JSON object")
    return header


def _blob_sizes(listed: Any, left: int, place: Place) -> list[tuple[str, int]]:
    """Names and sizes; they fill what is left of the file."""
    place = place / "blobs"
    if not isinstance(listed, list):
        raise place.error("needs a list")
    sizes: dict[str, int] = {}
    for entry in listed:
        match entry:
            case [str(name), int(size)] if type(size) is int and size >= 0 and name not in sizes:
                sizes[name] = size
            case _:
                raise place.error("needs pairs of a name, each once, and a size")
    if sum(sizes.values()) != left:
        raise place.error(f"lists {sum(sizes.values())} bytes, and {left} follow")
    return list(sizes.items())


def _cut(place: Place) -> FormatError:
    return place.error("it is cut short", hint="Compile the model again")
