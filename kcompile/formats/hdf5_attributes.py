"""Attributes of HDF5 groups, held against what is wanted of them before they are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kcompile.formats.hdf5 import Contents, damage_at
from kcompile.formats.json_text import MAX_CHARACTERS
from kcompile.ir.errors import FormatError

if TYPE_CHECKING:
    import h5py

MAX_NAMES = 1_000_000
#: The most bytes of a list of names: real ones have some kilobytes.
MAX_BYTES = 2**26
#: The same where names are of variable length. What is known then is the longest text of the file,
#: mostly the config, and that no name is longer: 1000 names beside a config of 2 MB are such.
MAX_VARIABLE_BYTES = 2**31


def has_attribute(contents: Contents, path: str, name: str) -> bool:
    """Whether a group has an attribute.

    Raises:
        FormatError: the group is damaged.
    """
    with damage_at(_where(contents, path, name)):
        return name in contents.groups[path].attrs


def read_text(contents: Contents, path: str, name: str) -> str | None:
    """The text in an attribute of a group; None if the group has no such attribute.

    Args:
        contents: of an open file.
        path: of the group.
        name: of the attribute.

    Raises:
        FormatError: the attribute is no text, or an absurdly long one.
    """
    if not has_attribute(contents, path, name):
        return None
    where = _where(contents, path, name)
    with damage_at(where):
        attributes = contents.groups[path].attrs
        attribute = attributes.get_id(name)
        if math.prod(attribute.shape or (1,)) != 1 or _is_empty(attribute):
            raise FormatError("needs one text", where=where)
        longest = 4 * MAX_CHARACTERS
        _check_strings(contents, attribute, longest, longest, where)
        value = attributes[name]
    return _decoded(value if isinstance(value, (str, bytes)) else np.ravel(value)[0], where)


def read_names(contents: Contents, path: str, name: str) -> list[str] | None:
    """The list of texts in an attribute of a group; None if the group has no such attribute.

    Lists that are too long for one attribute stand in several: `name0`, `name1`, ...

    Raises:
        FormatError: an attribute is no list of texts, or an absurdly long one.
    """
    if has_attribute(contents, path, name):
        return _read_names(contents, path, name)
    parts: list[str] = []
    index = 0
    while has_attribute(contents, path, f"{name}{index}"):
        parts += _read_names(contents, path, f"{name}{index}")
        index += 1
    return parts if index else None


def _read_names(contents: Contents, path: str, name: str) -> list[str]:
    where = _where(contents, path, name)
    with damage_at(where):
        attributes = contents.groups[path].attrs
        attribute = attributes.get_id(name)
        if _is_empty(attribute):  # written of an empty list, of whatever type
            return []
        if len(attribute.shape) != 1:
            raise FormatError("needs a list of texts", where=where)
        if attribute.shape[0] > MAX_NAMES:
            raise FormatError(f"it has {attribute.shape[0]} names", where=where)
        _check_strings(contents, attribute, MAX_BYTES, MAX_VARIABLE_BYTES, where)
        values = attributes[name]
    return [_decoded(value, where) for value in values]


def _is_empty(attribute: h5py.h5a.AttrID) -> bool:
    return attribute.get_space().get_simple_extent_npoints() == 0


def _check_strings(
    contents: Contents,
    attribute: h5py.h5a.AttrID,
    max_bytes: int,
    max_variable_bytes: int,
    where: str,
) -> None:
    import h5py

    type = attribute.get_type()
    if not isinstance(type, h5py.h5t.TypeStringID):
        raise FormatError(f"needs text, got {attribute.dtype}", where=where)
    num_strings = math.prod(attribute.shape)
    # Several strings of variable length may be one in the file, and take memory each.
    is_variable = type.is_variable_str()
    each = contents.largest_string if is_variable else type.get_size()
    if num_strings * each > (max_variable_bytes if is_variable else max_bytes):
        raise FormatError(f"its text may take {num_strings * each} bytes", where=where)


def _decoded(value: str | bytes, where: str) -> str:
    """Text of UTF-8, as h5py gives it: bytes that are none come as lone surrogates."""
    try:
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
        return data.decode("utf-8")
    except UnicodeError as error:
        raise FormatError(f"it is not text in UTF-8: {error}", where=where) from error


def _where(contents: Contents, path: str, name: str) -> str:
    return f"{contents.where}: {path}/{name}" if path else f"{contents.where}: {name}"
