"""Zip files without trust: every kind of file that readers disagree on is refused."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kcompile.formats import archive
from kcompile.formats.archive import open_archive
from kcompile.ir.errors import FormatError

NAME = "m.keras"
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def write(path: Path, members: dict[str, bytes], method: int = STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def read_all(path: Path) -> dict[str, bytes]:
    found = {}
    with open_archive(path) as file:
        for name in file.members:
            with file.open(name) as member:
                found[name] = member.read()
    return found


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_members_are_read(method: int, tmp_path: Path) -> None:
    members = {"config.json": b"{}", "assets/a/b.txt": b"x" * 1000, "model.weights.h5": bytes(5000)}
    path = write(tmp_path / NAME, members, method)
    assert read_all(path) == members
    with open_archive(path) as file, file.open("model.weights.h5") as member:
        member.seek(-10, 2)
        assert (member.tell(), member.read(100)) == (4990, bytes(10))
        member.seek(4000)
        assert (len(member.read(2)), member.tell()) == (2, 4002)
        assert file.text("config.json") == "{}"
        with pytest.raises(FormatError, match=r"m\.keras: the archive has no x"):
            file.text("x")


def test_a_streamed_archive_is_read(tmp_path: Path) -> None:
    """Sizes behind the data, as a writer that cannot go back has them."""

    class Pipe:
        def __init__(self, file: Any) -> None:
            self.write, self.flush = file.write, file.flush

    with (
        (tmp_path / NAME).open("wb") as file,
        zipfile.ZipFile(Pipe(file), "w", DEFLATED) as zip_file,  # type: ignore[arg-type]
    ):
        zip_file.writestr("config.json", b"{}" * 100)
    assert read_all(tmp_path / NAME) == {"config.json": b"{}" * 100}


def test_sizes_of_64_bits_are_read(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / NAME, "w") as zip_file,
        zip_file.open("config.json", "w", force_zip64=True) as member,
    ):
        member.write(b"{}")
    assert read_all(tmp_path / NAME) == {"config.json": b"{}"}


def named(name: str) -> Callable[[Path], Any]:
    def make(path: Path) -> None:
        """Under a name that zipfile itself would mend."""
        stand_in = "n" * len(name)
        data = write(path, {stand_in: b"x"}).read_bytes()
        path.write_bytes(data.replace(stand_in.encode(), name.encode()))

    return make


def twice(path: Path) -> None:
    write(path, {"config.json": b"{}", "config.jsom": b"[]"})
    path.write_bytes(path.read_bytes().replace(b"config.jsom", b"config.json"))


def with_attributes(mode: int) -> Callable[[Path], Any]:
    def make(path: Path) -> None:
        info = zipfile.ZipInfo("config.json")
        info.external_attr = mode << 16
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(info, b"/etc/passwd")

    return make


def patched(place: str, offset: int, data: bytes) -> Callable[[Path], Any]:
    """Bytes changed in the header of the one member, or in the list of members."""
    start = {"header": b"PK\x03\x04", "list": b"PK\x01\x02", "end": b"PK\x05\x06"}[place]

    def make(path: Path) -> None:
        content = bytearray(write(path, {"config.json": b"{}" * 50}).read_bytes())
        at = content.index(start) + offset
        content[at : at + len(data)] = data
        path.write_bytes(content)

    return make


def both(*changes: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Several changes to the same file."""

    def make(path: Path) -> None:
        changes[0](path)
        found = bytearray(path.read_bytes())
        clean = write(path, {"config.json": b"{}" * 50}).read_bytes()
        for change in changes[1:]:
            change(path)
            for index, (old, new) in enumerate(zip(clean, path.read_bytes(), strict=True)):
                if old != new:
                    found[index] = new
        path.write_bytes(found)

    return make


def overlapping(path: Path) -> None:
    """Two members with the same data: the trick of the densest bombs."""
    content = write(path, {"a": b"x" * 100, "b": b"x" * 100}).read_bytes()
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    path.write_bytes(content[: second + 42] + struct.pack("<L", 0) + content[second + 46 :])


def bomb(path: Path) -> None:
    write(path, {"config.json": bytes(2**25)}, DEFLATED)


def with_prefix(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n" + write(path, {"config.json": b"{}"}).read_bytes())


def cut_off(path: Path) -> None:
    path.write_bytes(write(path, {"config.json": b"{}" * 100}).read_bytes()[:100])


def damaged(path: Path) -> None:
    content = write(path, {"config.json": b"{}" * 100}).read_bytes()
    path.write_bytes(content.replace(b"{}{}{}", b"{}[]{}", 1))


def damaged_deflated(path: Path) -> None:
    content = write(path, {"config.json": bytes(range(256)) * 9}, DEFLATED).read_bytes()
    path.write_bytes(content[:60] + b"\xff\xff\xff" + content[63:])


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "parent": (named("../../x"), r"'\.\./\.\./x' is not the name of a file inside the archive"),
    "absolute": (named("/etc/passwd"), r"'/etc/passwd' is not the name"),
    "backslash": (named("..\\x"), r"is not the name of a file inside the archive"),
    "drive": (named("C:x"), r"'C:x' is not the name"),
    "dot": (named("a/./b"), r"'a/\./b' is not the name"),
    "empty part": (named("a//b"), r"'a//b' is not the name"),
    "line break": (named("a\nb"), r"is not the name"),
    "nul": (named("config.json\0.png"), r"is not the name"),
    "duplicate": (twice, r"the member 'config\.json' stands twice in the archive"),
    "symlink": (with_attributes(0o120777), r"'config\.json' is a link or a device"),
    "device": (with_attributes(0o060666), r"'config\.json' is a link or a device"),
    "ratio": (bomb, r"the member 'config\.json' grows from \d+ to 33554432 bytes"),
    "overlap": (overlapping, r"the data of 'b' overlap those of another member"),
    "prefix": (with_prefix, r"something stands before the first member"),
    "cut off": (cut_off, r"it is not a zip file, or it is cut off"),
    "checksum": (damaged, r"the archive is damaged: "),
    "deflated data": (damaged_deflated, r"the archive is damaged: "),
    "encrypted": (
        both(patched("header", 6, b"\x01"), patched("list", 8, b"\x01")),
        r"the member 'config\.json' is encrypted",
    ),
    "unknown method": (
        both(patched("header", 8, b"\x0c"), patched("list", 10, b"\x0c")),
        r"'config\.json' is compressed in a way that is not known",
    ),
    "header encrypted": (patched("header", 6, b"\x01"), r"is described in two ways"),
    "header name": (patched("header", 30, b"x"), r"is described in two ways"),
    "header method": (patched("header", 8, b"\x08"), r"is described in two ways"),
    "header size": (patched("header", 22, b"\x01"), r"is described in two ways"),
    "header checksum": (patched("header", 14, b"\x01"), r"is described in two ways"),
    "list size": (patched("list", 24, b"\xff\xff\xff\x7f"), r"has two sizes"),
    "header gone": (patched("header", 0, b"XX"), r"'config\.json' is missing, or the file is cut"),
    "offset outside": (patched("list", 42, b"\xff\xff\xff\x0f"), r"is missing, or the file is cut"),
    "long list": (patched("end", 12, b"\xff\xff\xff\x7f"), r"its list of members has 2147483647"),
    "empty": (lambda path: path.write_bytes(b"PK\x03\x04"), r"it is not a zip file"),
    "gone": (lambda path: None, r"cannot be read: No such file"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives(make: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    make(tmp_path / NAME)
    with pytest.raises(FormatError, match=message) as caught:
        read_all(tmp_path / NAME)
    assert str(caught.value).startswith(NAME)


def test_a_total_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL", 1000)
    path = write(tmp_path / NAME, {"a": b"x" * 600, "b": b"x" * 600})
    with pytest.raises(FormatError, match="its members have more than 1000 bytes"):
        read_all(path)


def test_long_texts_and_texts_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / NAME, {"a": b"x" * 600, "b": b"\xff"})
    with open_archive(path) as file:
        with pytest.raises(FormatError, match=r"m\.keras/b: it is not text in UTF-8"):
            file.text("b")
        monkeypatch.setattr(archive, "MAX_TEXT", 100)
        with pytest.raises(FormatError, match=r"m\.keras/a: the text has 600 bytes"):
            file.text("a")


def test_any_changed_byte_is_read_or_refused(tmp_path: Path) -> None:
    """Every byte of a small archive, changed: a `FormatError`, or what stood there."""
    members = {"config.json": b"{}" * 30, "model.weights.h5": bytes(range(64))}
    content = write(tmp_path / NAME, members, DEFLATED).read_bytes()
    refused = 0
    for index in range(len(content)):
        changed = bytearray(content)
        changed[index] ^= 0x55
        (tmp_path / NAME).write_bytes(changed)
        try:
            found = read_all(tmp_path / NAME)
        except FormatError:
            refused += 1
            continue
        assert {zlib.crc32(data) for data in found.values()} <= {
            zlib.crc32(data) for data in members.values()
        }
    assert refused > len(content) / 2
