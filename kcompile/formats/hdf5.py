"""HDF5 files, read without trust: groups of plain arrays, and nothing that leads elsewhere."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kcompile.ir.errors import FormatError
from kcompile.ir.types import DType, TensorType, format_shape

if TYPE_CHECKING:
    import h5py

MAX_OBJECTS = 1_000_000
MAX_DEPTH = 64
#: Chunks of up to so many elements are read even where the array is smaller.
MAX_CHUNK = 2**20
#: Filters that HDF5 itself brings, in the order in which writers apply them: shuffle, deflate,
#: fletcher32. Others would load plug-ins.
_SHUFFLE, _DEFLATE, _FLETCHER32 = 2, 1, 3
_FILTERS = (_SHUFFLE, _DEFLATE, _FLETCHER32)
_CHECKSUM_BYTES = 4
#: A collection of strings and other values of variable length starts so, and its size follows:
#: HDF5 File Format Specification 3.0, section III.E. What stands between has no meaning.
_HEAP = b"GCOL\x01"
_HEAP_HEADER = 16
_LEAST_HEAP = 4096
_BLOCK = 2**24
#: What h5py and zlib raise where bytes of a file make no sense.
_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, zlib.error)


@dataclass(frozen=True)
class Contents:
    """What is in an open file; no array is read yet.

    Attributes:
        source: the file, or a file in memory or in another one.
        where: name of the file, for messages.
        groups: by their paths; the root's is empty.
        datasets: by their paths.
    """

    source: Path | BinaryIO
    where: str
    groups: dict[str, h5py.Group] = field(default_factory=dict)
    datasets: dict[str, h5py.Dataset] = field(default_factory=dict)

    @cached_property
    def largest_string(self) -> int:
        """What no string of variable length in the file has more bytes than."""
        with contextlib.ExitStack() as stack:
            if isinstance(self.source, Path):
                file: BinaryIO = stack.enter_context(self.source.open("rb"))
            else:
                file = self.source
                stack.callback(file.seek, file.tell())
            heaps = list(_heaps(file))
            for start, size in heaps:
                file.seek(start)
                _check_heap(file.read(size), self.where)
        return max((size for _, size in heaps), default=0)


def _heaps(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where each collection of values of variable length begins, and its size."""
    length = file.seek(0, 2)
    file.seek(0)
    rest, begin = b"", 0
    while block := file.read(_BLOCK):
        block = rest + block
        found = block.find(_HEAP)
        while found >= 0:
            header = block[found : found + _HEAP_HEADER]
            size = int.from_bytes(header[8:], "little")
            # What has another size is none: the library does not read it either.
            fits = _LEAST_HEAP <= size <= length - begin - found
            if len(header) == _HEAP_HEADER and fits:
                yield begin + found, size
            found = block.find(_HEAP, found + 1)
        rest = block[1 - _HEAP_HEADER :]
        begin += len(block) - len(rest)


def _check_heap(heap: bytes, where: str) -> None:
    """Check that each value of a collection ends where another begins.

    The library would go round for ever at a free one of size 0.

    Raises:
        FormatError: one does not.
    """
    at = _HEAP_HEADER
    while at + _HEAP_HEADER <= len(heap):
        size = int.from_bytes(heap[at + 8 : at + 16], "little")
        if heap[at : at + 2] != b"\0\0":  # the size of a free one counts its header
            size = _HEAP_HEADER + -(-size // 8) * 8
        if not _HEAP_HEADER <= size <= len(heap) - at:
            raise FormatError("the file is damaged: its texts have impossible sizes", where=where)
        at += size


@contextlib.contextmanager
def open_contents(
    source: Path | BinaryIO, name: str | None = None, *, within: Container[str] | None = None
) -> Iterator[Contents]:
    """Every group and dataset of a file, while the file is open.

    Args:
        source: the file, or a file in memory or in another one.
        name: of the file, for messages; that of the path by default.
        within: the groups at the root that are looked into; all by default.

    Raises:
        FormatError: the file cannot be opened, or holds a link, a dataset whose data are elsewhere,
            or a group inside itself.
    """
    import h5py

    where = name or (source.name if isinstance(source, Path) else "HDF5 file")
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        is_gone = isinstance(source, Path) and not source.exists()
        reason = "there is no such file" if is_gone else f"it is not HDF5: {error}"
        raise FormatError(reason, where=where) from error
    with file:
        contents = Contents(source, where)
        with damage_at(where):
            _walk(file, contents, within)
        yield contents


@contextlib.contextmanager
def open_datasets(
    source: Path | BinaryIO, name: str | None = None
) -> Iterator[dict[str, h5py.Dataset]]:
    """Every dataset of a file by its path; see `open_contents`.

    Raises:
        FormatError: as from `open_contents`.
    """
    with open_contents(source, name) as contents:
        yield contents.datasets


@contextlib.contextmanager
def damage_at(where: str) -> Iterator[None]:
    """Turn what h5py raises about damaged files into a `FormatError`."""
    try:
        yield
    except FormatError:
        raise
    except _DAMAGE as error:
        raise FormatError(f"the file is damaged: {error}", where=where) from error


def _walk(file: h5py.File, contents: Contents, within: Container[str] | None) -> None:
    """Find what is below the root. Only hard links are followed, and to each object once."""
    import h5py

    contents.groups[""] = file
    seen = {h5py.h5o.get_info(file.id).addr}
    stack: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while stack:
        prefix, group, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise FormatError(f"groups are nested more than {MAX_DEPTH} deep", where=contents.where)
        for name in group:
            path = f"{prefix}{name}"
            where = f"{contents.where}: {path}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise FormatError("it is a link to another place", where=where)
            entry = group[name]
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                raise FormatError("it stands in the file twice", where=where)
            seen.add(address)
            if len(seen) > MAX_OBJECTS:
                raise FormatError(f"it holds more than {MAX_OBJECTS} objects", where=contents.where)
            if isinstance(entry, h5py.Group):
                contents.groups[path] = entry
                if depth or within is None or name in within:
                    stack.append((f"{path}/", entry, depth + 1))
            elif isinstance(entry, h5py.Dataset):
                _check_storage(entry, where)
                contents.datasets[path] = entry
            else:
                raise FormatError("it is neither a group nor an array", where=where)


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    properties = dataset.id.get_create_plist()
    if properties.get_external_count() or dataset.is_virtual:
        raise FormatError("its data are in another file", where=where)
    filters = _filters(dataset)
    if filters != [known for known in _FILTERS if known in filters]:
        raise FormatError("it is compressed in a way that is not known", where=where)


def _filters(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def read_dataset(dataset: h5py.Dataset, type: TensorType, where: str) -> np.ndarray[Any, Any]:
    """The array of a dataset, which has to be of a type; held against it before it is read.

    Raises:
        FormatError: shape or element type differ, data are missing, or an element is NaN.
    """
    with damage_at(where):
        if dataset.shape != type.static_shape:
            raise FormatError(
                f"needs shape {format_shape(type.shape)}, got {_shape_text(dataset)}", where=where
            )
        if _element_type(dataset) != type.dtype.numpy:
            raise FormatError(f"needs {type.dtype.keras_name}, got {dataset.dtype}", where=where)
    return read_checked(dataset, where)


def read_checked(dataset: h5py.Dataset, where: str) -> np.ndarray[Any, Any]:
    """The array of a dataset of numbers, whose size was held against what is needed.

    Raises:
        FormatError: elements are no numbers, data are missing, or an element is NaN.
    """
    with damage_at(where):
        native = _element_type(dataset)
        is_bfloat16 = native == DType.BFLOAT16.numpy
        if native.kind not in "biuf" and not is_bfloat16:
            raise FormatError(f"its elements are no numbers, but {dataset.dtype}", where=where)
        if dataset.shape is None:
            raise FormatError("it holds nothing", where=where)
        if dataset.chunks is not None:
            _check_chunks(dataset, where)
        elif dataset.id.get_storage_size() < math.prod(dataset.shape) * native.itemsize:
            raise FormatError("its data are missing", where=where)
        array = np.asarray(dataset[()], dataset.dtype.newbyteorder("=")).view(native)
    if (is_bfloat16 or native.kind == "f") and np.isnan(array).any():
        raise FormatError(
            f"{int(np.isnan(array).sum())} of {array.size} elements are NaN",
            where=where,
            hint="The model was damaged in training; use an earlier file",
        )
    return array


def _element_type(dataset: h5py.Dataset) -> np.dtype[Any]:
    """The type of the elements; Keras writes bfloat16 as two bytes that an attribute explains."""
    native = dataset.dtype.newbyteorder("=")
    if native == np.dtype("V2") and dataset.attrs.get("dtype") == DType.BFLOAT16.keras_name:
        return DType.BFLOAT16.numpy
    return native


def _shape_text(dataset: h5py.Dataset) -> str:
    return "nothing" if dataset.shape is None else format_shape(dataset.shape)


def _check_chunks(dataset: h5py.Dataset, where: str) -> None:
    """Check that each chunk is there and has the bytes that the shape tells.

    HDF5 would inflate a compressed chunk to whatever size it has, and read past a short one.
    """
    num_elements = math.prod(dataset.chunks)
    if num_elements > max(math.prod(dataset.shape), MAX_CHUNK):
        raise FormatError(f"its chunks have {num_elements} elements each", where=where)
    extents = zip(dataset.shape, dataset.chunks, strict=True)
    if dataset.id.get_num_chunks() != math.prod(-(-size // chunk) for size, chunk in extents):
        raise FormatError("its data are missing", where=where)
    num_bytes = num_elements * dataset.dtype.itemsize
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    filters = _filters(dataset)
    for chunk in chunks:
        found = _chunk_bytes(dataset, chunk, filters, num_bytes)
        if found != num_bytes:
            raise FormatError(f"a chunk needs {num_bytes} bytes, got {found}", where=where)


def _chunk_bytes(dataset: h5py.Dataset, info: Any, filters: list[int], wanted: int) -> int:
    """How many bytes a chunk has when it is inflated; counted up to one more than wanted."""
    # Writers leave out a filter that does not make a chunk smaller, and mark that.
    applied = [f for i, f in enumerate(filters) if not info.filter_mask >> i & 1]
    if _DEFLATE not in applied:
        return int(info.size) - (_CHECKSUM_BYTES if _FLETCHER32 in applied else 0)
    if info.size > 2 * wanted + 2**10:  # zlib makes nothing longer than that
        return int(info.size)
    _, data = dataset.id.read_direct_chunk(info.chunk_offset)
    return len(zlib.decompressobj().decompress(data, wanted + 1))
