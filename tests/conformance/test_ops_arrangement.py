"""`kcompile.ops` against `keras.ops`: functions that move, pick, write and make elements."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kcompile
import kcompile.ops as our_ops
from kcompile.ir.errors import KCompileError
from kcompile.ops.structure import leaves
from tests.conformance.ops_case import (
    OpsCase,
    booleans,
    case,
    check,
    integers,
    normal,
    vector,
    with_slow_tail,
)
from tests.ops.tolerances import assert_same

X = normal(4, 6, 2)
SQUARE = normal(4, 5)
ROWS = vector(0, 2, 1, -1, 5, dtype="int32")

MOVES = [
    *(case("flip", X, axis) for axis in (None, 0, -1, (0, 2))),
    case("fliplr", SQUARE), case("flipud", integers(4)),
    case("moveaxis", X, 0, -1), case("moveaxis", X, (0, 1), (-1, 0)), case("swapaxes", X, 0, -1),
    case("ravel", X), case("ravel", np.float32(3).reshape(())),
    *(case("rot90", SQUARE, k) for k in (-1, 0, 1, 2, 3)), case("rot90", X, 1, (2, 0)),
    *(case("roll", X, *places) for places in ((1, 1), (-7, 0), (3, None), ((1, 2), (0, 1)))),
    case("repeat", X, 2, 1), case("repeat", X, 3),
    case("tile", X, 2), case("tile", SQUARE, (2, 3)), case("tile", SQUARE, (2, 1, 3)),
    case("tile", booleans(3), 2),
    *(case(f, [normal(3), normal(3, seed=1)]) for f in ("hstack", "vstack", "dstack")),
    *(case(f, [SQUARE, integers(4, 5)]) for f in ("hstack", "vstack", "dstack")),
    *(case(f, [X, X]) for f in ("hstack", "vstack", "dstack")),
    case("append", SQUARE, X), case("append", SQUARE, integers(2, 5), 0),
    case("split", X, 3, 1), case("split", X, [1, 4], 1),
    case("array_split", X, 4, 1), case("array_split", normal(2), 3),
    case("hsplit", X, 2), case("hsplit", normal(4), 2), case("vsplit", X, 2), case("dsplit", X, 2),
    case("unstack", X, None, 1), case("unstack", SQUARE, 4),
    *(case(f, SQUARE, k) for f in ("tril", "triu") for k in (0, 2, -1)),
    case("tril", booleans(3, 3)),
    case("kron", SQUARE, normal(2, 3)), case("kron", integers(3), integers(2, 2)),
    *(case("pad", SQUARE, 2, m) for m in ("constant", "reflect", "symmetric", "edge", "wrap")),
    case("pad", SQUARE, ((1, 0), (0, 7)), "reflect"),
    case("pad", integers(3), 2, constant_values=4),
    case("pad", booleans(3), 1), case("pad", integers(3), (9, 1), "symmetric"),
    *(case("diff", X, n, axis) for n, axis in ((1, -1), (2, 1), (9, 0))), case("diff", booleans(5)),
]  # fmt: skip

PICKS = [
    *(case("sort", array, axis) for array in (X, integers(4, 6, 2)) for axis in (-1, 0, 1, None)),
    case("sort", integers(9, dtype="uint8", low=0)), case("sort", booleans(5)),
    *(case("argsort", integers(4, 6, low=0, high=3), axis) for axis in (-1, 0, None)),
    case("argsort", normal(5, dtype="float16")), case("argsort", np.float32(3).reshape(())),
    case("top_k", X, 2), case("top_k", integers(4, 7, low=0, high=3), 3),
    case("top_k", normal(4), 4),
    *(case("in_top_k", vector(0, 2, 4, dtype="int32"), normal(3, 5), k) for k in (1, 3)),
    *(case("searchsorted", vector(-1, 0, 0, 2), array, side)
      for side in ("left", "right") for array in (normal(2, 3), vector(0, 2, 9, -9, np.nan))),
    case("searchsorted", vector(-1, 0, 2), integers(4)),
    case("searchsorted", integers(4, low=0, high=1), integers(4)),
    case("digitize", normal(3, 4), vector(-1, 0, 0.5)),
    case("digitize", normal(4), vector(1, 0, -1)),
    case("digitize", integers(5), vector(-3, 0, 3, dtype="int32")),
    case("isin", integers(3, 4), integers(5)), case("isin", normal(3), vector(0, 1), invert=True),
    case("take_along_axis", X, integers(4, 3, 2, low=-6, high=6), 1),
    case("take_along_axis", X, integers(4, 1, 1, low=0, high=6), 1),
    case("take_along_axis", SQUARE, integers(7, low=0)), case("take", X, ROWS % 4, 0),
    case("take", X, integers(2, 3, low=-6, high=6), 1), case("take", SQUARE, ROWS),
    case("multi_hot", integers(3, 4, low=0, high=5), 5), case("multi_hot", integers(4, low=0), 9),
    case("unravel_index", integers(5, low=0, high=24), (2, 3, 4)),
    *(case("diagonal", SQUARE, k) for k in (0, 1, -2, 9)), case("diagonal", X, 1, 2, 0),
    case("trace", X), case("trace", integers(3, 3), -1), case("diag", SQUARE, 1),
    *(case("diag", normal(3), k) for k in (0, 2, -1)), case("diagflat", integers(2, 2), 1),
    *(case("get_item", X, key) for key in (
        0, -1, slice(None, None, -1), slice(4, 0, -2), (slice(None), slice(5, 1, -2)), (..., -1),
        (None, 1), (slice(1, 3), None, 0), (slice(3, 1), slice(None)), (1, ..., slice(0, 1)),
        ROWS % 4, (ROWS % 4, ROWS), (slice(None), ROWS), (ROWS % 4, slice(None), ROWS % 2),
        (slice(None), ROWS, ROWS % 2), (ROWS % 4, 1), (slice(1, 3), ROWS[:, None], ROWS % 2),
        (None, ROWS % 4, ..., None), (..., ROWS % 2, slice(None, None, -1))[:1] + (ROWS % 2,),
    )),
]  # fmt: skip

PLACES = vector(1, 3, 0, dtype="int32")[:, None]
CELLS = np.array([[1, 2], [3, 0], [-1, 4]], np.int32)
TWICE = np.array([[1], [1], [2]], np.int32)
IDS = vector(0, 2, 2, -1, 9, 1, dtype="int32")
WRITES = [
    case("scatter", CELLS, normal(3), (4, 5)), case("scatter", TWICE, normal(3, 2), (4, 2)),
    case("scatter", np.stack([CELLS, CELLS]), integers(2, 3), (4, 5)),
    *(case("scatter_update", SQUARE, CELLS, normal(3), reduction)
      for reduction in (None, "add", "max", "min", "mul")),
    *(case("scatter_update", SQUARE, TWICE, normal(3, 5), reduction)
      for reduction in ("add", "max", "min", "mul")),
    case("scatter_update", integers(4), PLACES, integers(3)),
    case("slice", X, (1, 2, 0), (2, 3, 2)), case("slice", X, (1, 2, 0), (-1, 3, -1)),
    case("slice", X, (3, 5, 0), (2, 3, 2)),
    case("slice", X, vector(3, 1, 0, dtype="int32"), (2, 3, 2)),
    case("slice_update", X, (1, 2, 0), normal(2, 3, 1)),
    case("slice_update", X, vector(3, 5, 0, dtype="int32"), normal(2, 3, 1)),
    *(case(f, array, IDS, 4)
      for f in ("segment_sum", "segment_prod", "segment_max", "segment_min")
      for array in (normal(6, 3), integers(6), normal(6, dtype="float16"))),
]  # fmt: skip

MAKES = [
    case("arange", 5), case("arange", 1, 7, 2), case("arange", 0.0, 1.0, 0.25), case("arange", 3.0),
    case("arange", 1, 2.5, 0.5, dtype="int32"), case("arange", 5, dtype="float32"),
    case("arange", 5, 0, -2), case("arange", 1, 2, 0.5),
    *(case("linspace", 0, 5, n, e) for n in (1, 5) for e in (True, False)),
    case("linspace", normal(3), normal(3, seed=1), 4), case("linspace", normal(3), 2.0, 4, axis=-1),
    case("linspace", 0, 10, 4, dtype="int32"), case("linspace", 0.0, 1.0, 5, True, True),
    case("logspace", 0, 2, 5), case("logspace", normal(2), 1.0, 3, base=2),
    case("geomspace", 1, 100, 5),
    case("geomspace", vector(1, -2), vector(9, -8), 4), case("eye", 3),
    case("eye", 3, 4, 1, "int32"),
    case("identity", 3), case("tri", 3), case("tri", 3, 5, -1, "bool"), case("full_like", X, 3),
    case("full_like", integers(3), 2.7), case("full_like", integers(3), 2.7, dtype="float32"),
    *(case("meshgrid", normal(3), integers(2), indexing=i) for i in ("xy", "ij")),
    case("meshgrid", normal(3), normal(2), normal(4)), case("meshgrid", normal(3)),
    *(case(f, n) for f in ("bartlett", "blackman", "hamming", "hanning") for n in (1, 2, 7)),
    case("kaiser", 6, 2.5), case("vander", normal(4)), case("vander", integers(3), 4),
    case("vander", normal(3), 2, True),
]  # fmt: skip
CASES = [*MOVES, *PICKS, *WRITES, *MAKES]


@pytest.mark.parametrize("entry", with_slow_tail(CASES))
def test_equals_keras(entry: OpsCase) -> None:
    check(entry)


def test_lists_of_repeats_and_places_are_numpys() -> None:
    """Keras on JAX refuses these."""
    repeated = our_ops.repeat(X, [2, 0, 1, 3], 0)
    np.testing.assert_array_equal(repeated, np.repeat(X, [2, 0, 1, 3], 0))
    for places, axis in (([2, 9], 0), ([-2], 1)):
        parts = our_ops.split(X, places, axis)
        for part, expected in zip(parts, np.split(X, places, axis), strict=True):
            np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize(("kth", "axis"), [(2, -1), (-1, 0), (3, None)])
def test_argpartition_puts_the_smallest_first(kth: int, axis: int | None) -> None:
    x = normal(4, 6)
    index = np.asarray(our_ops.argpartition(x, kth, axis))
    values = x.ravel()[index] if axis is None else np.take_along_axis(x, index, axis)
    expected = np.partition(x, kth, axis)
    place = 0 if axis is None else axis
    np.testing.assert_array_equal(np.take(values, kth, place), np.take(expected, kth, place))


REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("nonzero", (kcompile.Input((2,)),), "ops.where"),
    ("unique", (kcompile.Input((2,)),), "ops.sort"),
    ("view", (X, "int32"), "ops.cast"),
    ("nextafter", (X, X), "bits"),
    ("repeat", (X, kcompile.Input((2,), dtype="int32")), "list of numbers"),
    ("where", (booleans(3),), "without x1 and x2"),
    ("get_item", (X, booleans(4)), "mask"),
    ("hamming", (np.asarray(5),), "number"),
    ("pad", (X, 1, "maximum"), "'maximum' is none of"),
]


@pytest.mark.parametrize(
    ("function", "args", "message"), REFUSED, ids=lambda entry: str(entry)[:20]
)
def test_refuses_by_name(function: str, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(NotImplementedError, match=message):
        getattr(our_ops, function)(*args)


WRONG: list[tuple[str, tuple[Any, ...], str]] = [
    ("split", (X, 4, 1), "does not divide into 4"),
    ("split", (X, [3, 1]), "must not go back"),
    ("array_split", (X, [1, 2]), "number of parts"),
    ("moveaxis", (X, (0, 0), (1, 2)), "cannot move"),
    ("unstack", (X, 3), "num is 3"),
    ("take_along_axis", (X, ROWS, 0), "same rank"),
    ("select", ([booleans(3)], []), "1 conditions for 0 choices"),
    ("get_item", (X, (0, 0, 0, 0)), "too many indices"),
    ("get_item", (X, 4), "outside an axis of size 4"),
    ("segment_sum", (X, X, 3), "is a vector"),
    ("repeat", (X, [1, 2], 0), "2 repeats for an axis of size 4"),
    ("rot90", (X, 1, (0, 0)), "must be different"),
    ("top_k", (X, 3), "k = 3"),
]


@pytest.mark.parametrize(("function", "args", "message"), WRONG, ids=lambda entry: str(entry)[:20])
def test_says_what_does_not_fit(function: str, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(KCompileError, match=message):
        getattr(our_ops, function)(*args)


KNOWN: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("repeat", (X, np.asarray([1, 0, 2, 1])), {"axis": 0}),
    ("repeat", (X,), {"repeats": np.asarray(2)}),
    ("tile", (X, np.asarray([2, 1])), {}),
    ("split", (X, np.asarray([1, 3])), {}),
    ("pad", (normal(2, 3), np.asarray([[0, 1], [2, 0]])), {}),
    ("reshape", (normal(2, 3), (-1, np.prod([3, 2]))), {}),
    ("transpose", (normal(2, 3), np.asarray([1, 0])), {}),
    ("sum", (X,), {"axis": np.int64(1), "keepdims": np.True_}),
    ("ones", ((np.int64(2), 3),), {}),
    ("zeros", (3,), {}),
    ("arange", (np.int64(5),), {}),
]


@pytest.mark.parametrize(
    ("function", "args", "kwargs"), KNOWN, ids=[f"{i}-{entry[0]}" for i, entry in enumerate(KNOWN)]
)
def test_arrays_that_decide_about_shapes_are_read(
    function: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    found = getattr(our_ops, function)(*args, **kwargs)
    expected = getattr(keras.ops, function)(*args, **kwargs)
    for ours, theirs in zip(leaves(found), leaves(expected), strict=True):
        assert_same(ours, np.asarray(theirs))
