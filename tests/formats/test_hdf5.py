"""HDF5: attributes and arrays in every form that writers give them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kcompile.formats import hdf5
from kcompile.formats.hdf5 import open_contents, open_datasets, read_checked, read_dataset
from kcompile.formats.hdf5_attributes import read_names, read_text
from kcompile.ir.errors import FormatError
from kcompile.ir.types import DType, TensorType

TEXT = '{"ä": 1}'
FLOATS = TensorType(DType.FLOAT32, (6, 5))
VALUES = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def written(path: Path, write: Callable[[h5py.File], Any], **options: Any) -> Path:
    with h5py.File(path / "a.h5", "w", **options) as file:
        write(file)
    return path / "a.h5"


def attribute(value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.create_group("g").attrs.__setitem__("x", value)


def text_of(path: Path) -> str | None:
    with open_contents(path) as contents:
        return read_text(contents, "g", "x")


def names_of(path: Path) -> list[str] | None:
    with open_contents(path) as contents:
        return read_names(contents, "g", "x")


TEXTS = {
    "str": TEXT,
    "bytes": TEXT.encode(),
    "fixed": np.bytes_(TEXT.encode()),
    "list of one": [TEXT],
    "array of one fixed": np.array([TEXT.encode()]),
}


@pytest.mark.parametrize("value", TEXTS.values(), ids=TEXTS)
def test_text_in_every_form(value: Any, tmp_path: Path) -> None:
    assert text_of(written(tmp_path, attribute(value))) == TEXT


NAMES = {
    "fixed": np.array([b"a", b"\xc3\xa4bc"]),
    "variable": ["a", "äbc"],
    "variable bytes": np.array([b"a", b"\xc3\xa4bc"], h5py.string_dtype("ascii")),
}


@pytest.mark.parametrize("value", NAMES.values(), ids=NAMES)
def test_names_in_every_form(value: Any, tmp_path: Path) -> None:
    assert names_of(written(tmp_path, attribute(value))) == ["a", "äbc"]


def test_an_empty_list_is_of_any_type(tmp_path: Path) -> None:
    assert names_of(written(tmp_path, attribute([]))) == []
    assert names_of(written(tmp_path, attribute(np.array([], "S1")))) == []


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, attribute(TEXT))
    with open_contents(path) as contents:
        assert read_text(contents, "", "x") is None
        assert read_names(contents, "", "x") is None


def test_names_in_several_attributes(tmp_path: Path) -> None:
    def write(file: h5py.File) -> None:
        group = file.create_group("g")
        for index in range(12):
            group.attrs[f"x{index}"] = [f"{index}a".encode(), f"{index}b".encode()]

    wanted = [f"{index}{letter}" for index in range(12) for letter in "ab"]
    assert names_of(written(tmp_path, write)) == wanted


def test_a_long_text_of_the_newest_form(tmp_path: Path) -> None:
    """Beyond 64 KiB of fixed length, which older forms of the file cannot hold."""
    text = "x" * 100_000
    assert text_of(written(tmp_path, attribute(np.bytes_(text.encode())), libver="latest")) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, r"a\.h5: g/x: needs text, got int64"),
        (["a", "b"], r"needs one text"),
        (h5py.Empty("S3"), r"needs one text"),
        (b"\xff\xfe", r"it is not text in UTF-8"),
    ],
)
def test_what_is_no_text(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message):
        text_of(written(tmp_path, attribute(value)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], r"a\.h5: g/x: needs text, got float64"),
        ("a", r"needs a list of texts"),
        ([["a"], ["b"]], r"needs a list of texts"),
        (np.array([b"\xff"]), r"it is not text in UTF-8"),
    ],
)
def test_what_is_no_list_of_names(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message):
        names_of(written(tmp_path, attribute(value)))


# Arrays

LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (4, 3)},
    "growing": {"chunks": (7, 9), "maxshape": (None, None)},
    "deflated": {"compression": "gzip"},
    "deflated, shuffled, summed": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "summed": {"fletcher32": True},
    "shuffled": {"shuffle": True},
    "incompressible": {"compression": "gzip", "chunks": (1, 1)},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_arrays_in_every_layout(layout: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path, lambda file: file.create_dataset("d", data=VALUES, **layout))
    with open_datasets(path) as datasets:
        np.testing.assert_array_equal(read_dataset(datasets["d"], FLOATS, "d"), VALUES)


@pytest.mark.parametrize("dtype", [">f4", "<f2", "<f8", ">i8", "u1", "?"])
def test_numbers_of_every_type_are_read_in_native_order(dtype: str, tmp_path: Path) -> None:
    values = (VALUES * 10).astype(dtype)
    path = written(tmp_path, lambda file: file.create_dataset("d", data=values))
    with open_datasets(path) as datasets:
        found = read_checked(datasets["d"], "d")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype.newbyteorder("=")


def test_a_file_in_memory(tmp_path: Path) -> None:
    path = written(tmp_path, lambda file: file.create_dataset("d", data=VALUES))
    with path.open("rb") as source, open_datasets(source, "inner.h5") as datasets:
        np.testing.assert_array_equal(read_dataset(datasets["d"], FLOATS, "d"), VALUES)


def test_the_longest_string_is_found_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, attribute("x" * 50_000))
    with open_contents(path) as contents:
        whole = contents.largest_string
    monkeypatch.setattr(hdf5, "_BLOCK", 7)
    with open_contents(path) as contents:
        assert contents.largest_string == whole
    assert 50_000 <= whole < 60_000
