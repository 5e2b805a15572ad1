"""Zip files, read without trust: a few known members, none of which says two things.

Readers of zip differ in what they take from a file that contradicts itself, so that a scanner may
see another model than a loader. Here a member that is described twice, or in two ways, is refused.
Format: PKWARE APPNOTE 6.3.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kcompile.formats.place import Place, shorten
from kcompile.ir.errors import FormatError

MAGIC = b"PK\x03\x04"
#: The most bytes of all members together, and of one that is text.
MAX_TOTAL = 2**36
MAX_TEXT = 2**28
#: The most times that a member of more than `_SMALL` bytes may be larger than its compressed form.
MAX_RATIO = 200
_SMALL = 2**24
#: The most bytes of the list of members.
_MAX_DIRECTORY = 2**22
_CHUNK = 2**20
#: What is decompressed is kept in memory up to this size, and in an unnamed file above.
_IN_MEMORY = 2**27

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENCRYPTED, _STREAMED, _PATCHED, _STRONG, _MASKED = 0x1, 0x8, 0x20, 0x40, 0x2000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        info: its entry in the list of members.
        begin: where its data begin in the archive, in bytes.
    """

    info: zipfile.ZipInfo
    begin: int


class Archive:
    """An open zip file whose members are checked; none is read yet.

    Attributes:
        place: of the file, for messages.
        members: by their names; folders are not among them.
    """

    def __init__(self, file: BinaryIO, zip_file: zipfile.ZipFile, place: Place) -> None:
        self._file = file
        self._zip = zip_file
        self.place = place
        self.members = {member.info.filename: member for member in _checked(file, zip_file, place)}

    def text(self, name: str) -> str:
        """The text of a member.

        Raises:
            FormatError: it is missing, too long, damaged or not in UTF-8.
        """
        place = self._place(name)
        member = self._member(name)
        if member.info.file_size > MAX_TEXT:
            raise place.error(
                f"the text has {member.info.file_size} bytes; at most {MAX_TEXT} are read"
            )
        with _damage_at(place):
            data = self._zip.read(member.info)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise place.error("it is not text in UTF-8") from error

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A member as a file that can be searched; one that is not compressed is not copied.

        Raises:
            FormatError: it is missing or damaged.
        """
        place = self._place(name)
        member = self._member(name)
        if member.info.compress_type == zipfile.ZIP_STORED:
            part = _Part(self._file, member.begin, member.info.file_size)
            with _damage_at(place):
                _check_sum(part, member.info.CRC, place)
            yield io.BufferedReader(part)
            return
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as whole:
            with _damage_at(place), self._zip.open(member.info) as source:
                while chunk := source.read(_CHUNK):
                    whole.write(chunk)
            whole.seek(0)
            yield whole  # type: ignore[misc]

    def _place(self, name: str) -> Place:
        return Place(f"{self.place.file}/{name}")

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise self.place.error(f"the archive has no {name}")
        return self.members[name]


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip file does; not so if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """The archive in a file, while it is open.

    Raises:
        FormatError: it is not a zip file, or not a plain one: a member is named twice, leads out of
            the archive, is encrypted, a link, described in two ways, or grows beyond measure.
    """
    place = Place(path.name)
    with contextlib.ExitStack() as stack:
        with _damage_at(place):
            file = stack.enter_context(path.open("rb"))
            _check_directory_size(file, place)
            zip_file = stack.enter_context(zipfile.ZipFile(file))
            archive = Archive(file, zip_file, place)
        yield archive


@contextlib.contextmanager
def _damage_at(place: Place) -> Iterator[None]:
    """Turn what zipfile raises about damaged files into a `FormatError`."""
    try:
        yield
    except FormatError:
        raise
    except OSError as error:
        raise place.error(f"cannot be read: {error.strerror or error}") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        RuntimeError,  # NotImplementedError among them
        ValueError,
        OverflowError,
    ) as error:
        raise place.error(f"the archive is damaged: {error}") from error


def _check_directory_size(file: BinaryIO, place: Place) -> None:
    """Check, before the list of members is read, that it is short."""
    length = file.seek(0, os.SEEK_END)
    tail_begin = max(0, length - _END.size - 2**16 - _LOCATOR.size)
    file.seek(tail_begin)
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < _END.size:
        raise place.error("it is not a zip file, or it is cut off: it has no list of members")
    fields = _END.unpack_from(tail, end)
    sizes = [fields[5]]
    at_64 = end - _LOCATOR.size
    if at_64 >= 0 and tail[at_64 : at_64 + 4] == b"PK\x06\x07":
        file.seek(_LOCATOR.unpack_from(tail, at_64)[2])
        sizes = [_END_64.unpack(file.read(_END_64.size))[8]]
    if max(sizes) > _MAX_DIRECTORY:
        raise place.error(f"its list of members has {max(sizes)} bytes")


def _checked(file: BinaryIO, zip_file: zipfile.ZipFile, place: Place) -> list[Member]:
    """The members that are files, all of them checked."""
    infos = sorted(zip_file.infolist(), key=lambda info: info.header_offset)
    seen: set[str] = set()
    end, total, members = 0, 0, []
    for info in infos:
        name = info.orig_filename
        if name.casefold() in seen:
            raise place.error(f"the member {shorten(name)} stands twice in the archive")
        seen.add(name.casefold())
        _check_name(info, place)
        _check_entry(info, place)
        total += info.file_size
        if total > MAX_TOTAL:
            raise place.error(f"its members have more than {MAX_TOTAL} bytes")
        if info.header_offset < end:
            raise place.error(f"the data of {shorten(name)} overlap those of another member")
        begin = _data_begin(file, info, place)
        end = begin + info.compress_size
        if not info.is_dir():
            members.append(Member(info, begin))
    if infos and infos[0].header_offset != 0:
        raise place.error("something stands before the first member")
    if end > zip_file.start_dir:
        raise place.error("the data of the last member overlap the list of members")
    return members


def _check_name(info: zipfile.ZipInfo, place: Place) -> None:
    """Check that a name, as it stands in the file, is a plain path inside the archive."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    if (
        not name.isprintable()
        or "\\" in name
        or ":" in name
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise place.error(f"{shorten(name)} is not the name of a file inside the archive")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise place.error(f"the member {shorten(name)} is a link or a device, not a file")


def _check_entry(info: zipfile.ZipInfo, place: Place) -> None:
    name = shorten(info.filename)
    if info.flag_bits & (_ENCRYPTED | _STRONG | _MASKED):
        raise place.error(f"the member {name} is encrypted")
    if info.flag_bits & _PATCHED or info.compress_type not in _METHODS:
        raise place.error(f"the member {name} is compressed in a way that is not known")
    stored = info.compress_type == zipfile.ZIP_STORED
    if stored and info.compress_size != info.file_size:
        raise place.error(f"the member {name} has two sizes")
    if info.file_size > _SMALL and info.file_size > MAX_RATIO * info.compress_size:
        raise place.error(
            f"the member {name} grows from {info.compress_size} to {info.file_size} bytes"
        )
    if info.is_dir() and info.file_size:
        raise place.error(f"the folder {name} has content")


def _data_begin(file: BinaryIO, info: zipfile.ZipInfo, place: Place) -> int:
    """Where a member's data begin, after its own header, which has to say what the list says."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != MAGIC:
        raise place.error(f"the member {shorten(info.filename)} is missing, or the file is cut off")
    fields = _LOCAL_HEADER.unpack(header)
    flags, method, checksum, compressed, size = fields[2], fields[3], *fields[6:9]
    name = file.read(fields[9])
    extra = file.read(fields[10])
    if 0xFFFFFFFF in (compressed, size):
        size, compressed = _zip64_sizes(extra, size, compressed)
    told = (info.CRC, info.compress_size, info.file_size)
    streamed = flags & _STREAMED and (checksum, compressed, size) == (0, 0, 0)
    encoding = "utf-8" if flags & 0x800 else "cp437"
    if (
        name != info.orig_filename.encode(encoding, "replace")
        or flags != info.flag_bits
        or method != info.compress_type
        or not (streamed or (checksum, compressed, size) == told)
    ):
        raise place.error(
            f"the member {shorten(info.filename)} is described in two ways",
            hint="Readers of zip files differ in which one they take",
        )
    return info.header_offset + _LOCAL_HEADER.size + len(name) + len(extra)


def _zip64_sizes(extra: bytes, size: int, compressed: int) -> tuple[int, int]:
    """Sizes of 64 bits in a local header's extra field, for those that have only ones in it."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            if size == 0xFFFFFFFF:
                size = next(values, size)
            if compressed == 0xFFFFFFFF:
                compressed = next(values, compressed)
            break
        at += 4 + length
    return size, compressed


def _check_sum(part: io.RawIOBase, expected: int, place: Place) -> None:
    checksum = 0
    while chunk := part.read(_CHUNK):
        checksum = zlib.crc32(chunk, checksum)
    if checksum != expected:
        raise place.error("the archive is damaged: its checksum differs")
    part.seek(0)


class _Part(io.RawIOBase):
    """A range of bytes of a file as a file of its own, to be read.

    Args:
        file: in which the bytes are.
        begin, size: of the range.
    """

    def __init__(self, file: BinaryIO, begin: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._begin = begin
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        self._file.seek(self._begin + self._at)
        data = self._file.read(count)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
