"""Arrays of strings."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.errors import DataError


def text_array(values: Any) -> np.ndarray[Any, Any]:
    """`values` as an array of Python strings; bytes are UTF-8.

    Raises:
        DataError: an element is neither string nor bytes, or is no UTF-8.
    """
    array = np.asarray(values)
    if array.dtype.kind == "U":
        return array.astype(object)
    flat = np.empty(array.size, object)
    flat[:] = [_text(entry) for entry in array.ravel().tolist()]
    return flat.reshape(array.shape)


def _text(entry: Any) -> str:
    if isinstance(entry, bytes):
        try:
            return entry.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{entry!r} is no UTF-8: {error}") from None
    if not isinstance(entry, str):
        raise DataError(f"needs strings, got {entry!r}", hint="Give an array of strings")
    return str(entry)
