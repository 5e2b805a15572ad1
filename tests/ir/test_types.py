"""Element types, tensor types, broadcasting and binding of symbols."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kcompile.ir.dims import symbol
from kcompile.ir.errors import ShapeError
from kcompile.ir.literal import Literal
from kcompile.ir.parser import parse_type
from kcompile.ir.types import (
    DimMismatchError,
    DType,
    TensorType,
    bind_symbols,
    broadcast_shapes,
)

B, T = symbol("batch"), symbol("time")


@pytest.mark.parametrize("dtype", list(DType))
def test_element_types_have_names_and_numpy_types(dtype: DType) -> None:
    assert DType.of(dtype.keras_name) is dtype
    assert DType.of(dtype.numpy if dtype is not DType.STRING else "string") is dtype
    assert parse_type(f"{dtype}[batch,3]") == TensorType(dtype, (B, 3))


def test_bfloat16_is_known_by_its_numpy_type() -> None:
    assert DType.of(ml_dtypes.bfloat16) is DType.BFLOAT16


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "nonsense", 3.5])
def test_other_element_types_are_refused(dtype: object) -> None:
    with pytest.raises(ShapeError, match="is not an element type"):
        DType.of(dtype)


@pytest.mark.parametrize("shape", [(-1,), (2.0,), (None,), (True,)])
def test_shapes_hold_sizes(shape: tuple[object, ...]) -> None:
    with pytest.raises(ShapeError):
        TensorType(DType.FLOAT32, shape)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shapes", "result"),
    [
        (((B, 3), (3,)), (B, 3)),
        (((B, 1, T), (4, 1)), (B, 4, T)),
        (((), (0, 2)), (0, 2)),
        (((1,), (0,)), (0,)),
        ((), ()),
    ],
)
def test_broadcasting(shapes: tuple[tuple[object, ...], ...], result: object) -> None:
    assert broadcast_shapes(*shapes) == result  # type: ignore[arg-type]


@pytest.mark.parametrize("shapes", [((B,), (T,)), ((B,), (2,)), ((3,), (4,)), ((0,), (2,))])
def test_sizes_that_differ_do_not_broadcast(shapes: tuple[tuple[object, ...], ...]) -> None:
    with pytest.raises(DimMismatchError, match="do not broadcast"):
        broadcast_shapes(*shapes)  # type: ignore[arg-type]


def test_symbols_are_bound_by_bare_sizes() -> None:
    env: dict[str, int] = {}
    bind_symbols(TensorType(DType.FLOAT32, (B, 2 * T + 1, T)), (5, 7, 3), env)
    assert env == {"batch": 5, "time": 3}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 7), "got shape"),
        ((5, 8, 3), "got shape"),
        ((4, 7, 3), "with batch = 5"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DimMismatchError, match=message):
        bind_symbols(TensorType(DType.FLOAT32, (B, 2 * T + 1, T)), shape, {"batch": 5})


def test_literals_compare_by_bytes() -> None:
    nan = np.array([np.nan, 0.0], np.float32)
    assert Literal(nan) == Literal(nan.copy())
    assert hash(Literal(nan)) == hash(Literal(nan.copy()))
    assert Literal(np.array([0.0])) != Literal(np.array([-0.0]))
    assert Literal(np.zeros(3, np.float32)) != Literal(np.zeros(3, np.int32))
    assert Literal(np.zeros((3, 1))) != Literal(np.zeros((1, 3)))
    long = np.arange(1000.0)
    other = long.copy()
    other[1] = 7  # an element that the hash does not look at
    assert Literal(long) != Literal(other)


def test_literals_cannot_be_changed() -> None:
    literal = Literal(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        literal.array[0] = 1
