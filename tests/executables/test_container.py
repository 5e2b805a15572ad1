"""The container of executables: damage, cuts and lies are found before anything is allocated."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from kcompile.formats.container import MAGIC, VERSION, is_container, pack, unpack
from kcompile.ir.errors import FormatError

HEADER = {"target": "reference", "sizes": [1, 2]}
BLOBS = {"graph": b"text", "empty": b"", "weights/w": bytes(range(200))}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "model.kcx"
    path.write_bytes(data)
    return path


def forged(
    text: bytes, rest: bytes = b"", length: int | None = None, version: int = VERSION
) -> bytes:
    """A container with that header, whose checksum holds."""
    prefix = struct.pack("<8sI", MAGIC, version)
    body = struct.pack("<Q", len(text) if length is None else length) + text + rest
    return prefix + hashlib.sha256(prefix + body).digest() + body


def test_round_trip(tmp_path: Path) -> None:
    path = written(tmp_path, pack(HEADER, BLOBS))
    assert is_container(path)
    assert unpack(path) == (HEADER, BLOBS)
    assert pack(HEADER, BLOBS) == path.read_bytes()


def test_every_cut_is_found(tmp_path: Path) -> None:
    data = pack(HEADER, BLOBS)
    for length in range(len(data)):
        with pytest.raises(FormatError, match=r"^model.kcx: it"):
            unpack(written(tmp_path, data[:length]))


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    data = pack(HEADER, BLOBS)
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 4
        with pytest.raises(FormatError, match="no executable of kcompile|version|checksum"):
            unpack(written(tmp_path, bytes(changed)))


def test_bytes_that_follow_are_found(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="its checksum does not hold"):
        unpack(written(tmp_path, pack(HEADER, BLOBS) + b"\0"))


def _header(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (forged(_header(blobs=[]), length=2**63), "it is cut short"),
        (forged(_header(blobs=[]), length=2**40), "it is cut short"),
        (forged(b"{", b""), "it is not JSON"),
        (forged(b"[]"), "no JSON object"),
        (forged(b"\xff"), "no UTF-8"),
        (forged(b"[" * 100_000), "nested more than 200 deep"),
        (forged(_header()), "blobs: needs a list"),
        (forged(_header(blobs=[["a", 2**62]]), b"abc"), "lists 4611686018427387904 bytes, and 3"),
        (forged(_header(blobs=[["a", -1], ["b", 4]]), b"abc"), "needs pairs"),
        (forged(_header(blobs=[["a", True]]), b"a"), "needs pairs"),
        (forged(_header(blobs=[["a", 1], ["a", 1]]), b"ab"), "each once"),
        (forged(_header(blobs=[["a"]]), b"a"), "needs pairs"),
        (forged(_header(blobs=[["a", 1]]), b"ab"), "lists 1 bytes, and 2 follow"),
        (forged(_header(blobs=[]), version=2), "in version 2 of the form, and version 1 is read"),
        (b"\x08\x07onnx", "it is no executable of kcompile"),
    ],
)
def test_lies_are_found_with_a_checksum_that_holds(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        unpack(written(tmp_path, data))


def test_what_is_no_container(tmp_path: Path) -> None:
    assert not is_container(written(tmp_path, b""))
    assert not is_container(written(tmp_path, b"PK"))
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "nowhere.kcx")
