"""HDF5 files that are made to do harm: refused, and nothing else is opened or allocated."""

from __future__ import annotations

import builtins
import io
import os
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kcompile.formats import hdf5, hdf5_attributes
from kcompile.formats.hdf5 import open_contents, read_checked
from kcompile.formats.hdf5_attributes import read_names, read_text
from kcompile.ir.errors import FormatError
from kcompile.ops.variable import Variable

#: What no reading of the small files here takes more bytes of memory than.
MEMORY = 2**24
SHAPE = (36, 5)
VALUES = np.ones(SHAPE, "float32")
SECRET = "secret of the canary"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that the hostile one names: it would have to be opened to be read."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = folder / "canary.h5"
    with h5py.File(path, "w") as file:
        file["data"] = VALUES
        file.attrs["text"] = SECRET
    return path


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only the hostile file itself may be opened, nothing connected, little allocated."""

    def checked(name: str, original: Any) -> Any:
        def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
            assert "elsewhere" not in str(path), f"{name} of {path}"
            return original(path, *args, **kwargs)

        return opened

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a socket was made")

    for module, name in ((builtins, "open"), (io, "open"), (os, "open")):
        monkeypatch.setattr(module, name, checked(name, getattr(module, name)))
    monkeypatch.setattr(socket, "socket", refused)
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY


def external_link(file: h5py.File, canary: Path) -> None:
    file["d"] = h5py.ExternalLink(str(canary), "/data")


def external_group(file: h5py.File, canary: Path) -> None:
    file["layers"] = h5py.ExternalLink(str(canary), "/")


def soft_link(file: h5py.File, canary: Path) -> None:
    file["other"] = VALUES
    file["d"] = h5py.SoftLink("/other")


def dangling_link(file: h5py.File, canary: Path) -> None:
    file["d"] = h5py.SoftLink("/nowhere")


def external_storage(file: h5py.File, canary: Path) -> None:
    file.create_dataset("d", SHAPE, "float32", external=[(str(canary), 0, VALUES.nbytes)])


def virtual(file: h5py.File, canary: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "float32")
    layout[:] = h5py.VirtualSource(str(canary), "data", SHAPE)
    file.create_virtual_dataset("d", layout)


def group_cycle(file: h5py.File, canary: Path) -> None:
    file.create_group("a/b")
    file["a/b/c"] = file["a"]


def root_in_itself(file: h5py.File, canary: Path) -> None:
    file.create_group("a")["root"] = file["/"]


def many_names_for_one_array(file: h5py.File, canary: Path) -> None:
    file["d"] = VALUES
    file["e"] = file["d"]


def deep(file: h5py.File, canary: Path) -> None:
    file.create_group("/".join("a" * (hdf5.MAX_DEPTH + 2)))


def plug_in(file: h5py.File, canary: Path) -> None:
    file.create_dataset("d", data=VALUES, compression="lzf")


def deflated_twice(file: h5py.File, canary: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(SHAPE)
    properties.set_deflate(9)
    properties.set_deflate(9)
    space = h5py.h5s.create_simple(SHAPE)
    h5py.h5d.create(file.id, b"d", h5py.h5t.IEEE_F32LE, space, properties)


def named_type(file: h5py.File, canary: Path) -> None:
    file["d"] = np.dtype("float32")


STRUCTURES: dict[Callable[[h5py.File, Path], None], str] = {
    external_link: r"h\.h5: d: it is a link to another place",
    external_group: r"h\.h5: layers: it is a link to another place",
    soft_link: r"h\.h5: d: it is a link to another place",
    dangling_link: r"h\.h5: d: it is a link to another place",
    external_storage: r"h\.h5: d: its data are in another file",
    virtual: r"h\.h5: d: its data are in another file",
    group_cycle: r"h\.h5: a/b/c: it stands in the file twice",
    root_in_itself: r"h\.h5: a/root: it stands in the file twice",
    many_names_for_one_array: r"h\.h5: e: it stands in the file twice",
    deep: r"h\.h5: groups are nested more than 64 deep",
    plug_in: r"h\.h5: d: it is compressed in a way that is not known",
    deflated_twice: r"h\.h5: d: it is compressed in a way that is not known",
    named_type: r"h\.h5: d: it is neither a group nor an array",
}


@pytest.mark.parametrize("make", STRUCTURES, ids=lambda make: make.__name__)
def test_structures(
    make: Callable[[h5py.File, Path], None], canary: Path, tmp_path: Path, request: Any
) -> None:
    path = tmp_path / "h.h5"
    with h5py.File(path, "w") as file:
        make(file, canary)
    request.getfixturevalue("guarded")
    with pytest.raises(FormatError, match=STRUCTURES[make]), open_contents(path):
        pass


# Arrays whose data are not what their shape tells


def bomb(file: h5py.File) -> None:
    """2**50 elements, compressed into nothing."""
    file.create_dataset("d", (2**25, 2**25), "float32", chunks=(64, 64), compression="gzip")


def overflowing(file: h5py.File) -> None:
    """The number of elements is 2**64 + 180 in the arithmetic of no machine."""
    file.create_dataset("d", (2**32, 2**32), "float32", chunks=(1, 1))


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32", chunks=(2**15, 2**14), maxshape=(None, None))
    file["d"].id.write_direct_chunk((0, 0), b"x")


def inflating_chunk(file: h5py.File) -> None:
    """A chunk of 720 bytes that inflates to 64 MiB."""
    file.create_dataset("d", SHAPE, "float32", chunks=SHAPE, compression="gzip")
    file["d"].id.write_direct_chunk((0, 0), zlib.compress(bytes(2**26), 9))


def long_chunk(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32", chunks=SHAPE, compression="gzip")
    file["d"].id.write_direct_chunk((0, 0), bytes(2**16))


def short_chunk(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32", chunks=SHAPE, compression="gzip")
    file["d"].id.write_direct_chunk((0, 0), zlib.compress(bytes(8)))


def short_unfiltered_chunk(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32", chunks=SHAPE, compression="gzip")
    file["d"].id.write_direct_chunk((0, 0), bytes(8), filter_mask=1)


def no_chunk(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32", chunks=SHAPE)


def never_written(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32")


def no_zlib(file: h5py.File) -> None:
    file.create_dataset("d", SHAPE, "float32", chunks=SHAPE, compression="gzip")
    file["d"].id.write_direct_chunk((0, 0), bytes(720))


def strings(file: h5py.File) -> None:
    file.create_dataset("d", data=np.array(["a", "b"], h5py.string_dtype()))


def references(file: h5py.File) -> None:
    file["d"] = np.array([file.ref], h5py.ref_dtype)


def compound(file: h5py.File) -> None:
    file["d"] = np.zeros(SHAPE, [("a", "f4"), ("b", "f4", (2,))])


def variable_length(file: h5py.File) -> None:
    file.create_dataset("d", (2,), h5py.vlen_dtype("f4"))


def opaque(file: h5py.File) -> None:
    file["d"] = np.zeros(3, "V1000")


def complex_numbers(file: h5py.File) -> None:
    file["d"] = np.zeros(3, "c8")


def nothing(file: h5py.File) -> None:
    file["d"] = h5py.Empty("f4")


def nan(file: h5py.File) -> None:
    file["d"] = np.array([1, np.nan, np.nan], "f4")


ARRAYS: dict[Callable[[h5py.File], None], str] = {
    bomb: r"d: its data are missing",
    overflowing: r"d: its data are missing",
    huge_chunk: r"d: its chunks have 536870912 elements each",
    inflating_chunk: r"d: a chunk needs 720 bytes, got \d+",
    long_chunk: r"d: a chunk needs 720 bytes, got 65536",
    short_chunk: r"d: a chunk needs 720 bytes, got 8",
    short_unfiltered_chunk: r"d: a chunk needs 720 bytes, got 8",
    no_chunk: r"d: its data are missing",
    never_written: r"d: its data are missing",
    no_zlib: r"d: the file is damaged: .*decompressing",
    strings: r"d: its elements are no numbers, but object",
    references: r"d: its elements are no numbers, but object",
    compound: r"d: its elements are no numbers, but \[",
    variable_length: r"d: its elements are no numbers, but object",
    opaque: r"d: its elements are no numbers, but \|V1000",
    complex_numbers: r"d: its elements are no numbers, but complex64",
    nothing: r"d: it holds nothing",
    nan: r"d: 2 of 3 elements are NaN",
}


@pytest.mark.parametrize("make", ARRAYS, ids=lambda make: make.__name__)
def test_arrays(make: Callable[[h5py.File], None], tmp_path: Path, request: Any) -> None:
    path = tmp_path / "h.h5"
    with h5py.File(path, "w") as file:
        make(file)
    request.getfixturevalue("guarded")
    with open_contents(path) as contents, pytest.raises(FormatError, match=ARRAYS[make]):
        read_checked(contents.datasets["d"], "d")


# Attributes


def long_fixed(file: h5py.File) -> None:
    file.attrs.create("model_config", np.bytes_(b"x" * 2000))


def long_variable(file: h5py.File) -> None:
    file.attrs["model_config"] = "x" * 2000


@pytest.mark.parametrize("make", [long_fixed, long_variable])
def test_a_text_of_absurd_size(
    make: Callable[[h5py.File], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the size that is declared: the limit is lowered to keep the file small."""
    path = tmp_path / "h.h5"
    with h5py.File(path, "w") as file:
        make(file)
    monkeypatch.setattr(hdf5_attributes, "MAX_CHARACTERS", 256)
    with open_contents(path) as contents:
        _must_not_read(monkeypatch)
        with pytest.raises(FormatError, match=r"h\.h5: model_config: its text may take \d+ bytes"):
            read_text(contents, "", "model_config")


def many(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.array([b"a"] * 2000)


def one_string_often(file: h5py.File) -> None:
    """Each of the names may be the long string, which is in the file once."""
    file.attrs["other"] = "x" * 2**20
    file.attrs["layer_names"] = ["a"] * 3000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (many, r"layer_names: it has 2000 names"),
        (one_string_often, r"layer_names: its text may take 3\d{9} bytes"),
    ],
)
def test_names_of_absurd_size(
    make: Callable[[h5py.File], None],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "h.h5"
    with h5py.File(path, "w") as file:
        make(file)
    if make is many:
        monkeypatch.setattr(hdf5_attributes, "MAX_NAMES", 1000)
    with open_contents(path) as contents:
        _must_not_read(monkeypatch)
        with pytest.raises(FormatError, match=message):
            read_names(contents, "", "layer_names")


def _must_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Any, name: str) -> Any:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", read)


# Whole files


def test_every_byte_flipped(tmp_path: Path) -> None:
    """A typed error or the same contents as h5py gives, whatever byte is damaged."""
    path = tmp_path / "h.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers").attrs["layer_names"] = np.array([b"ab", b"cd"])
        file["layers/d"] = VALUES[:2]
    good = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    outcomes = set()
    for position in rng.choice(len(good), 300, replace=False):
        bad = good.copy()
        bad[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        outcomes.add(_outcome(path))
    assert outcomes == {"read", "refused"}


def _outcome(path: Path) -> str:
    try:
        with open_contents(path) as contents:
            for group in contents.groups:
                read_names(contents, group, "layer_names")
            for name, dataset in contents.datasets.items():
                assert read_checked(dataset, name).nbytes <= 2**20
    except FormatError:
        return "refused"
    return "read"


def test_variables_are_compared_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "h.h5"
    with h5py.File(path, "w") as file:
        bomb(file)
    variable = Variable(lambda: VALUES, SHAPE, "float32", "kernel")
    with (
        open_contents(path) as contents,
        pytest.raises(FormatError, match=r"needs shape \[36,5\], got \[33554432,33554432\]"),
    ):
        hdf5.read_dataset(contents.datasets["d"], variable.type, "d")
