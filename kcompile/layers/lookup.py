"""Strings and integers to their indices in a vocabulary, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.ir.text import text_array
from kcompile.ir.types import DType
from kcompile.layers.index_lookup import INT32, IndexLookup


class StringLookup(IndexLookup):
    """Strings to their indices in a vocabulary; with `invert` indices to strings."""

    token_dtype = DType.STRING

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        oov_method: str = "floormod",
        **kwargs: Any,
    ) -> None:
        if encoding.lower() not in ("utf-8", "utf8"):
            raise NotImplementedError(f"encoding={encoding!r} is not there; 'utf-8' is")
        self.encoding = encoding
        super().__init__(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token,
            oov_token=oov_token,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            oov_method=oov_method,
            salt=salt,
            name=name,
            **kwargs,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.invert:
            args = tuple(map(strings_as_array, args))
        return super().__call__(*args, **kwargs)

    def _as_tokens(self, values: Any) -> list[Any]:
        return list(text_array(np.asarray(values, object)).tolist())


class IntegerLookup(IndexLookup):
    """Integers to their indices in a vocabulary; with `invert` back."""

    token_dtype = DType.INT64

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if vocabulary_dtype not in ("int32", "int64"):
            raise SpecError(f"vocabulary_dtype={vocabulary_dtype!r} is neither int32 nor int64")
        self.vocabulary_dtype = vocabulary_dtype
        super().__init__(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token,
            oov_token=oov_token,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            oov_method=oov_method,
            salt=salt,
            name=name,
            **kwargs,
        )

    def _as_tokens(self, values: Any) -> list[Any]:
        for value in values:
            if not isinstance(value, (int, np.integer)) or not -(2**63) <= value < 2**63:
                raise SpecError(
                    f"needs integers of 64 bits, got {value!r}", where=f"layer '{self.name}'"
                )
        return [int(value) for value in values]

    def _value_array(self, tokens: list[Any]) -> np.ndarray[Any, Any]:
        array = np.asarray(tokens, np.int64)
        is_small = bool(((array >= INT32.min) & (array <= INT32.max)).all())
        return array.astype(np.int32) if is_small else array


def strings_as_array(value: Any) -> Any:
    """Strings, nested lists of them, and arrays of them as an array; anything else as it is."""
    if isinstance(value, (str, bytes, list, tuple)) and np.asarray(value).dtype.kind in "US":
        return text_array(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        return text_array(value)
    return value
