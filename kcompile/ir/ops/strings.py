"""Strings: taken apart, looked up and counted.

Whitespace is the six characters of ASCII, and lower case is that of ASCII's 26 letters, so that
no locale changes a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.ir.literal import Literal
from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import DType, TensorType

WHITESPACE = " \t\n\v\f\r"
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_TO_SPACE = {ord(character): " " for character in WHITESPACE}


@dataclass(frozen=True)
class AsciiLower(Op):
    """`y = x` with the letters A to Z in lower case; other letters stay."""

    def infer(self, x: TensorType) -> TensorType:
        return _strings(x)

    def reference(self, x: Array) -> Array:
        return _each(x, lambda text: text.translate(_LOWER))


@dataclass(frozen=True)
class RemoveCharacters(Op):
    """`y = x` without the characters in `characters`, which are ASCII."""

    characters: str

    def infer(self, x: TensorType) -> TensorType:
        require(self.characters.isascii(), "only characters of ASCII can be removed")
        return _strings(x)

    def reference(self, x: Array) -> Array:
        removed = dict.fromkeys(map(ord, self.characters))
        return _each(x, lambda text: text.translate(removed))


@dataclass(frozen=True)
class Tokens:
    """How a string becomes a list of tokens: what `SplitString` and `CountTokens` share."""

    separator: str
    ngrams: tuple[int, ...]

    def of(self, text: str) -> list[str]:
        """The n-grams of each width in turn, joined with spaces; the tokens if there are none."""
        if self.separator == "whitespace":
            words = [word for word in text.translate(_TO_SPACE).split(" ") if word]
        else:
            words = list(text)
        if not self.ngrams:
            return words
        return [
            " ".join(words[start : start + width])
            for width in self.ngrams
            for start in range(len(words) - width + 1)
        ]

    def check(self) -> None:
        separators = ("whitespace", "character")
        require(self.separator in separators, f"the separator is one of {separators}")
        require(all(width > 0 for width in self.ngrams), "an n-gram has at least one token")


@dataclass(frozen=True)
class SplitString(Op):
    """`y[..., k] = token k of x`, or "" where there are less: x `[...]`, y `[..., length]`.

    Tokens are what is between whitespace, or the characters; with `ngrams`, sequences of as many
    of them, joined by a space, first all of the first width.
    """

    length: int
    separator: str = "whitespace"
    ngrams: tuple[int, ...] = ()

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.separator, self.ngrams)

    def infer(self, x: TensorType) -> TensorType:
        self.tokens.check()
        require(self.length > 0, "the length must be positive")
        return _strings(x).with_shape((*x.shape, self.length))

    def reference(self, x: Array) -> Array:
        tokens = self.tokens
        y = np.full((x.size, self.length), "", object)
        for row, text in enumerate(x.ravel()):
            found = tokens.of(text)[: self.length]
            y[row, : len(found)] = found
        return y.reshape(*x.shape, self.length)


@dataclass(frozen=True)
class CountTokens(Op):
    """`y[..., k] = how often vocabulary[k - 1] is a token of x`; k = 0 counts unknown tokens.

    x `[...]` string, y `[..., len(vocabulary) + 1]` float32. Tokens are those of `SplitString`.
    """

    vocabulary: Literal
    separator: str = "whitespace"
    ngrams: tuple[int, ...] = ()

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.separator, self.ngrams)

    @property
    def depth(self) -> int:
        return self.vocabulary.array.size + 1

    def infer(self, x: TensorType) -> TensorType:
        self.tokens.check()
        _strings(x)
        require(self.vocabulary.type.dtype is DType.STRING, "the vocabulary holds strings")
        return TensorType(DType.FLOAT32, (*x.shape, self.depth))

    def reference(self, x: Array) -> Array:
        tokens = self.tokens
        table = {token: index for index, token in enumerate(self.vocabulary.array.ravel(), 1)}
        y = np.zeros((x.size, self.depth), np.float32)
        for row, text in enumerate(x.ravel()):
            np.add.at(y[row], [table.get(token, 0) for token in tokens.of(text)], 1)
        return y.reshape(*x.shape, self.depth)


@dataclass(frozen=True)
class Lookup(Op):
    """`y = values[k] where x = keys[k], else default`; without a default, an error.

    Keys are strings or int64, values strings or integers. y has the values' element type.
    """

    keys: Literal
    values: Literal
    default: int | str | None

    @property
    def on_host(self) -> bool:
        return self.default is None

    @cached_property
    def table(self) -> dict[Any, Any]:
        return dict(zip(self.keys.array.tolist(), self.values.array.tolist(), strict=True))

    def infer(self, x: TensorType) -> TensorType:
        keys, values = self.keys.type, self.values.type
        require(keys.rank == 1 and keys.shape == values.shape, "needs as many values as keys")
        require(keys.dtype in (DType.STRING, DType.INT64), "keys are strings or int64")
        require(values.dtype is DType.STRING or values.dtype.is_integer, "values are no numbers")
        if self.default is not None:
            is_string = values.dtype is DType.STRING
            require(isinstance(self.default, str) == is_string, "the default is unlike the values")
        same_kind = x.dtype is DType.STRING if keys.dtype is DType.STRING else x.dtype.is_integer
        require(same_kind, f"looks up {keys.dtype.keras_name}")
        require(len(self.table) == keys.shape[0], "two keys are equal")
        return x.with_dtype(values.dtype)

    def reference(self, x: Array) -> Array:
        flat = x.ravel().tolist()
        if self.default is None:
            for entry in flat:
                if entry not in self.table:
                    raise DataError(
                        f"{entry!r} is not in the vocabulary, and no index is for other tokens",
                        hint="Give the layer num_oov_indices=1",
                    )
        found = [self.table.get(entry, self.default) for entry in flat]
        return np.array(found, self.values.type.dtype.numpy).reshape(x.shape)


def _strings(x: TensorType) -> TensorType:
    require(x.dtype is DType.STRING, "needs strings")
    return x


def _each(x: Array, function: Any) -> Array:
    return np.array([function(text) for text in x.ravel()], object).reshape(x.shape)
