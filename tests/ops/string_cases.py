"""Strings: words, punctuation, every whitespace, letters beyond ASCII, nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.literal import Literal
from kcompile.ir.ops import (
    AsciiLower,
    CountTokens,
    CrossHash,
    HashBucket,
    Lookup,
    RemoveCharacters,
    SplitString,
)
from kcompile.ir.types import DType
from tests.ops.case import Array, Case, Draw, Operand, exactly, operand, values

TEXTS = (
    "a b c",
    "  Don't!!  B\tzz\nb",
    "",
    "...",
    "É À a\vz\fcb\rc",
    "a!b?c 東京 ẞ",
    "a a b a",
    "\u00a0 b\u2003c",
)
TOKENS = ("a", "b", "", "zz", "É", "A", "unknown")
VOCABULARY = Literal(["a", "b", "c", "zz", "a b", "b c", "É", "c 東京 ẞ"])
NUMBERS = np.array([7, -7, 0, 2**40, -(2**63), 5], np.int64)
INDICES = np.array([3, 2, 1, 9, 4, 0], np.int32)


def _among(texts: tuple[str, ...]) -> Draw:
    """These texts in order, again and again."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        size = int(np.prod(shape, dtype=np.int64))
        return np.array([texts[i % len(texts)] for i in range(size)], object).reshape(shape)

    return draw


def texts(*shape: Any) -> Operand:
    return operand(*shape, dtype=DType.STRING, draw=_among(TEXTS))


def tokens(*shape: Any) -> Operand:
    return operand(*shape, dtype=DType.STRING, draw=_among(TOKENS))


def numbers(*shape: Any, dtype: DType = DType.INT64) -> Operand:
    return operand(*shape, dtype=dtype, draw=exactly(7, -7, 0, 1, 5, 6))


_WORDS = Literal(np.array(["a", "b", "", "É"], object))
_PLACES = Literal(np.array([2, 3, 0, 4], np.int32))
_NAMES = Literal(np.array(["x", "", "y", "é", "z", "[UNK]"], object))

CASES: list[Case] = [
    values("open", AsciiLower(), texts("batch"), batch=8),
    values("matrix", AsciiLower(), texts("batch", 2), batch=4),
    values("open", RemoveCharacters("!.'?"), texts("batch"), batch=8),
    values("column", RemoveCharacters(" a"), texts("batch", 1), batch=8),
    values("empty-text", RemoveCharacters("!"), operand(1, dtype=DType.STRING, draw=_among(("",)))),
    values("words", SplitString(3), texts("batch"), batch=8),
    values("column", SplitString(9), texts("batch", 1), batch=8),
    values("bigrams", SplitString(4, ngrams=(2,)), texts("batch"), batch=8),
    values("mixed-ngrams", SplitString(6, ngrams=(3, 1, 2)), texts("batch"), batch=8),
    values("wider-than-text", SplitString(2, ngrams=(5,)), texts("batch"), batch=3),
    values("words", CountTokens(VOCABULARY), texts("batch"), batch=8),
    values("ngrams", CountTokens(VOCABULARY, ngrams=(1, 2, 3)), texts("batch"), batch=8),
    values("no-token", CountTokens(VOCABULARY), operand(2, dtype=DType.STRING, draw=_among(("",)))),
    values("strings", Lookup(_WORDS, _PLACES, 1), tokens("batch", 3), batch=5),
    values("strings-to-strings", Lookup(_WORDS, _WORDS, "?"), tokens("batch"), batch=7),
    values("closed", Lookup(_WORDS, _PLACES, None), operand(4, dtype=DType.STRING,
           draw=_among(("a", "É", "", "b")))),
    values("integers", Lookup(Literal(NUMBERS), Literal(INDICES), 1), numbers(2, 3)),
    values("narrow-integers", Lookup(Literal(NUMBERS), Literal(INDICES), 1),
           numbers(6, dtype=DType.INT32)),
    values("no-possible-key", Lookup(Literal(NUMBERS[3:5]), Literal(INDICES[3:5]), -4),
           numbers(3, 2, dtype=DType.INT16)),
    values("wide-values", Lookup(Literal(NUMBERS), Literal(NUMBERS[::-1].copy()), 1), numbers(6)),
    values("integers-to-strings", Lookup(Literal(NUMBERS), _NAMES, "?"), numbers(6)),
    values("closed-integers", Lookup(Literal(NUMBERS), Literal(INDICES), None),
           operand(3, dtype=DType.INT64, draw=exactly(5, 7, 2**40))),
    values("strings", HashBucket(7), texts("batch"), batch=8),
    values("key", HashBucket(2**31 - 1, (11, 2**63)), texts(4, 2)),
    values("integers", HashBucket(100), numbers(6)),
    values("two", CrossHash(1000), tokens("batch", 1), numbers("batch", 1), batch=6),
    values("three", CrossHash(5), tokens(6), numbers(6), tokens(6)),
]  # fmt: skip
