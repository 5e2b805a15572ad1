"""Symbolic sizes: canonical form, arithmetic against numbers, and the text form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcompile.ir.dims import (
    Dim,
    Size,
    ceil_div,
    divide_exactly,
    floor_div,
    maximum,
    minimum,
    product,
    substitute,
    symbol,
    symbols_of,
)
from kcompile.ir.errors import ParseError, ShapeError
from kcompile.ir.parser import parse_size

B, T = symbol("batch"), symbol("time")


def _sizes() -> st.SearchStrategy[Size]:
    leaf = st.one_of(st.integers(0, 9), st.sampled_from([B, T, symbol("h")]))

    def grow(inner: st.SearchStrategy[Size]) -> st.SearchStrategy[Size]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            pair.map(lambda p: p[0] + p[1]),
            pair.map(lambda p: p[0] - p[1]),
            pair.map(lambda p: p[0] * p[1]),
            st.tuples(inner, st.integers(1, 5)).map(lambda p: floor_div(p[0], p[1])),
            pair.map(lambda p: maximum(*p)),
            pair.map(lambda p: minimum(*p)),
        )

    return st.recursive(leaf, grow, max_leaves=7)


_ENV = {"batch": 3, "time": 7, "h": 12}


@given(_sizes(), _sizes())
def test_arithmetic_agrees_with_numbers(a: Size, b: Size) -> None:
    x, y = substitute(a, _ENV), substitute(b, _ENV)
    assert isinstance(x, int) and isinstance(y, int)
    assert substitute(a + b, _ENV) == x + y
    assert substitute(a - b, _ENV) == x - y
    assert substitute(a * b, _ENV) == x * y
    assert substitute(floor_div(a, 3), _ENV) == x // 3
    assert substitute(ceil_div(a, 4), _ENV) == -(-x // 4)
    assert substitute(maximum(a, b), _ENV) == max(x, y)
    assert substitute(minimum(a, b), _ENV) == min(x, y)


@given(_sizes())
def test_text_round_trips(size: Size) -> None:
    assert parse_size(str(size)) == size


@given(_sizes(), _sizes())
def test_sums_and_products_are_canonical(a: Size, b: Size) -> None:
    assert a + b == b + a
    assert a * b == b * a
    assert a + b - b == a
    assert hash(a + b) == hash(b + a)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (2 * T + 1, "2*time+1"),
        ((T - 3) // 2 + 1, "(time+1)//2-1"),
        (T * B * 4, "4*batch*time"),
        ((2 * T + 4) // 2, "time+2"),
        (((T - 3) // 2) // 2, "(time+1)//4-1"),
        (maximum(T, 3, 5), "max(time, 5)"),
        (B * B - B, "batch*batch-batch"),
        (-1 * T, "-time"),
    ],
)
def test_forms(size: Size, text: str) -> None:
    assert str(size) == text


def test_constants_become_ints() -> None:
    assert B - B == 0 and type(B - B) is int
    assert floor_div(B, B) == 1
    assert product([]) == 1
    assert substitute(2 * B + 1, {"batch": 4}) == 9


def test_division_is_exact_or_none() -> None:
    assert divide_exactly(B * 49 * 64, 64) == 49 * B
    assert divide_exactly(B * T, B) == T
    assert divide_exactly(B * 7, 2) is None
    assert divide_exactly(B + T, B) is None
    assert divide_exactly(B + T, B + T) == 1


def test_symbols_are_found_inside_functions() -> None:
    assert symbols_of(maximum((T - 1) // 2, B)) == {"batch", "time"}


def test_a_symbolic_size_is_no_number() -> None:
    with pytest.raises(ShapeError, match="the size batch is symbolic"):
        int(B)
    assert isinstance(B, Dim) and B.is_symbol and not (2 * B).is_symbol  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["", "a b", "1x", "max", "a-b"])
def test_symbols_need_names(name: str) -> None:
    with pytest.raises(ShapeError, match="not a name"):
        symbol(name)


@pytest.mark.parametrize("text", ["", "2*", "a b", "1.5", "max(", "a//"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_size(text)
