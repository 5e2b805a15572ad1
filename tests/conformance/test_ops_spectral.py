"""`kcompile.ops` against `keras.ops`: Fourier transforms, special functions, patches, patterns."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kcompile import initializers, ops, regularizers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.layers import Input
from kcompile.ops.missing import is_missing
from tests.conformance.ops_case import OpsCase, case, check, normal, with_slow_tail

PAIR = (normal(2, 3, 8), normal(2, 3, 8, seed=1))
ODD = (normal(5, 7), normal(5, 7, seed=1))
SIGNAL = normal(2, 40)
IMAGES = normal(2, 3, 7, 6)
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": 2, "padding": 1},
    {"kernel_size": 2, "dilation": 2, "padding": (0, 1), "stride": (1, 2)},
]
#: How many patches `WINDOWS` give of `IMAGES`.
PATCHES = [(12, 30), (18, 16), (12, 15)]
FOURIER = [
    *(case(function, parts) for function in ("fft", "fft2", "ifft2") for parts in (PAIR, ODD)),
    *(case("rfft", normal(3, 8), length) for length in (None, 5, 8, 11)),
    *(case("irfft", PAIR, length) for length in (None, 5, 14, 20)),
    *(
        case("stft", SIGNAL, 6, 3, 8, **more)
        for more in ({}, {"center": False}, {"window": None}, {"window": "hamming"})
    ),
    case("stft", normal(40), 8, 5, 8, np.linspace(0.5, 1, 8, dtype="f")),
    *(
        case("istft", (normal(2, 5, 5), normal(2, 5, 5, seed=1)), 8, 4, 8, **more)
        for more in ({}, {"length": 9}, {"window": None}, {"window": "hamming"})
    ),
    case("extract_sequences", SIGNAL, 6, 4),
    case("extract_sequences", normal(7), 7, 1),
]
OTHERS = [
    case("i0", np.linspace(-9, 9, 31, dtype="f")),
    case("erfc", np.linspace(-3, 3, 31, dtype="f")),
    case("swish", normal(3, 4)),
    case("cross", normal(4, 3), normal(4, 3, seed=1)),
    case("cross", normal(4, 2), normal(4, 2, seed=1)),
    case("cross", normal(3, 4), normal(4, 3, seed=1), 0, 1, 0),
    case("cross", normal(3, 4), normal(3, 4, seed=1), axis=0),
    case("cdist", normal(2, 4, 3), normal(2, 5, 3, seed=1)),
    case("cdist", normal(1, 3), normal(4, 3, seed=1)),
    case("psnr", normal(2, 3), normal(2, 3, seed=1), 2.0),
    *(case("unfold", IMAGES, **window) for window in WINDOWS),
    *(
        case("fold", normal(2, *shape), (7, 6), **window)
        for shape, window in zip(PATCHES, WINDOWS, strict=True)
    ),
    case("rearrange", normal(2, 6, 4, 3), "b h w c -> b c h w"),
    case("rearrange", normal(2, 6, 4, 3), "b h w c -> b (c h w)"),
    case("rearrange", normal(2, 6, 4, 3), "b (h h1) (w w1) c -> b h w (c h1 w1)", h1=2, w1=2),
    case("rearrange", normal(2, 6, 4, 3), "b (h1 h) w c -> (b h1) w h c", h1=3),
]


@pytest.mark.parametrize("entry", with_slow_tail([*FOURIER, *OTHERS]))
def test_equals_keras(entry: OpsCase) -> None:
    check(entry)


def test_erfc_is_exact_where_it_is_small() -> None:
    x = np.linspace(-9, 9, 101, dtype="f")
    np.testing.assert_allclose(ops.erfc(x), keras.ops.erfc(x), 3e-5)


def test_what_depends_on_values_works_on_arrays_alone() -> None:
    x = np.array([[3, 0], [3, 1]])
    for ours, theirs in (
        (ops.nonzero(x), keras.ops.nonzero(x)),
        (ops.unique(x), keras.ops.unique(x)),
        (ops.unique(x, return_counts=True), keras.ops.unique(x, return_counts=True)),
    ):
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(found, expected)
    for function in (ops.nonzero, ops.unique):
        with pytest.raises(NotImplementedError, match="depends on the values"):
            function(Input((3,)))


def test_missing_functions_say_why() -> None:
    with pytest.raises(NotImplementedError, match="ops.svd: ONNX has no op"):
        ops.linalg.svd(normal(3, 3))
    with pytest.raises(NotImplementedError, match="no complex"):
        ops.polar(normal(3), normal(3))
    assert is_missing(ops.inv) and not is_missing(ops.linalg.norm)


@pytest.mark.parametrize("module", ["linalg", "numpy"])
def test_submodules_have_the_names_of_keras(module: str) -> None:
    names = [name for name in dir(getattr(keras.ops, module)) if name[0] != "_"]
    assert [name for name in names if not hasattr(getattr(ops, module), name)] == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.rearrange(normal(2, 3), "a b -> a"), SpecError, "name the same axes"),
        (lambda: ops.rearrange(normal(2, 3), "a -> a"), ShapeError, "has 1 axes"),
        (lambda: ops.rearrange(normal(2, 3), "a (b c) -> a b c", b=2), ShapeError, "not divide"),
        (lambda: ops.fft(normal(3)), ShapeError, "takes a tuple"),
        (lambda: ops.stft(normal(9), 4, 2, 4, "tukey"), SpecError, "no window 'tukey'"),
        (lambda: initializers.STFT(window="tukey"), SpecError, "no window 'tukey'"),
        (lambda: initializers.STFT(side="x"), SpecError, "side is"),
        (lambda: regularizers.OrthogonalRegularizer(-1.0), SpecError, "factor is not negative"),
        (lambda: regularizers.OrthogonalRegularizer(mode="x"), SpecError, "mode is"),
    ],
)
def test_errors(call, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "window",
    ["hann", "hamming", "blackman", "bartlett", "boxcar", "cosine", "nuttall", "flattop", None],
)
def test_stft_initializers_are_those_of_keras(window: str | None) -> None:
    for side, scaling, periodic in (("real", "density", False), ("imag", "spectrum", True)):
        arguments = (side, window, scaling, periodic)
        ours, theirs = (k.STFT(*arguments) for k in (initializers, keras.initializers))
        np.testing.assert_allclose(ours((9, 1, 9)), theirs((9, 1, 9)), 1e-5, 3e-7)
        assert initializers.serialize(ours) == keras.initializers.serialize(theirs)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_regularizer(mode: str) -> None:
    ours, theirs = (k.OrthogonalRegularizer(0.5, mode) for k in (regularizers, keras.regularizers))
    weight = keras.ops.convert_to_tensor(normal(4, 3))
    np.testing.assert_allclose(ours(normal(4, 3)), theirs(weight), 1e-5)
    assert regularizers.serialize(ours) == keras.regularizers.serialize(theirs)
    assert type(regularizers.get("orthogonal_regularizer")) is regularizers.OrthogonalRegularizer
