"""Strings, and integers of vocabularies, to run a graph with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.graph import Graph
from kcompile.ir.ops import CountTokens, Lookup
from kcompile.ir.ops.strings import SplitString
from kcompile.ir.types import DType

#: What texts are made of besides the vocabulary: letters that lower case and ASCII treat
#: differently, punctuation inside and around words, every kind of whitespace, nothing.
PIECES = ("Unknown", "ÄÖ", "straße", "don't", "...", "a-b", "x!", "東京", "\u00a0", "")
SEPARATORS = (" ", " ", "  ", "\t", "\n", "\r\n", "\v", "\f")
MAX_WORDS = 9
_LIMIT = 10_000  # tokens of a vocabulary that are drawn from


@dataclass
class Vocabulary:
    """What an input is looked up in.

    Attributes:
        tokens: the keys.
        is_split: whether the input is split into tokens first.
        is_closed: whether nothing else may be looked up.
    """

    tokens: list[Any] = field(default_factory=list)
    is_split: bool = False
    is_closed: bool = False


def find_vocabularies(graph: Graph) -> dict[str, Vocabulary]:
    """What each value is looked up in, by its name, if it is."""
    found: dict[str, Vocabulary] = {}
    for node in reversed(graph.nodes):
        for value in node.inputs:
            if value is None:
                continue
            known = found.setdefault(value.name, Vocabulary())
            if isinstance(node.op, Lookup):
                known.tokens += node.op.keys.array[:_LIMIT].tolist()
                known.is_closed |= node.op.default is None
            elif isinstance(node.op, CountTokens):
                known.tokens += node.op.vocabulary.array[:_LIMIT].tolist()
                known.is_split = True
            elif value.type.dtype is node.outputs[0].type.dtype:
                after = found.get(node.outputs[0].name, Vocabulary())
                known.tokens += after.tokens
                known.is_closed |= after.is_closed
                known.is_split |= after.is_split or isinstance(node.op, SplitString)
    return {name: entry for name, entry in found.items() if entry.tokens}


def draw_texts(
    vocabulary: Vocabulary, shape: Sequence[int], rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Strings with and without tokens of the vocabulary, in upper case here and there."""
    tokens = [str(token) for token in vocabulary.tokens]

    def word() -> str:
        if tokens and (vocabulary.is_closed or rng.random() < 0.6):
            token = tokens[rng.integers(len(tokens))]
            return token if vocabulary.is_closed or rng.random() < 0.7 else token.upper() + "."
        return PIECES[rng.integers(len(PIECES))]

    def text() -> str:
        if not vocabulary.is_split:
            return word()
        words = [word() for _ in range(rng.integers(MAX_WORDS))]
        return "".join(w + SEPARATORS[rng.integers(len(SEPARATORS))] for w in words)

    size = int(np.prod(shape, dtype=np.int64))
    return np.array([text() for _ in range(size)], object).reshape(shape)


def draw_keys(
    vocabulary: Vocabulary, shape: Sequence[int], dtype: DType, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Integers of the vocabulary, and if others are allowed some of these."""
    limits = np.iinfo(dtype.numpy)
    tokens = [token for token in vocabulary.tokens if limits.min <= token <= limits.max]
    others = [] if vocabulary.is_closed else [0, 1, 7, limits.max, limits.min]
    return rng.choice(np.array([*tokens, *others], dtype.numpy), shape)
