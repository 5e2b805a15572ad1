"""Tests of `specialize`."""

import pytest

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.passes.specialize import specialize
from tests.passes.helpers import assert_same_numbers, body_of, graph_of, random_arrays

TEXT = """
    data %x : f32[batch,time,4]
    %a : f32[batch,4*time] = reshape(%x) {shape=[batch,4*time]}
    %n : i32[] = dim_size() {size=batch}
    %i : i32[time+1] = iota() {size=time+1}
    output "a" = %a
    output "n" = %n
    output "i" = %i
    """


def test_numbers_take_the_place_of_symbols() -> None:
    graph = graph_of(TEXT)
    half = specialize(graph, {"time": 5})
    assert (
        body_of(half)
        == """\
data %x : f32[batch,5,4]
%a : f32[batch,20] = reshape(%x) {shape=[batch,20]}
%n : i32[] = dim_size() {size=batch}
%i : i32[6] = iota() {size=6}
output "a" = %a
output "n" = %n
output "i" = %i"""
    )
    whole = specialize(half, {"batch": 3})
    assert whole == specialize(graph, {"batch": 3, "time": 5})
    assert whole.symbols == ()
    assert_same_numbers(graph, whole, arrays=random_arrays(graph))
    assert specialize(whole, {}) is whole


def test_unknown_symbols_are_refused() -> None:
    with pytest.raises(SpecError, match="'width'.*Its symbols are: batch, time"):
        specialize(graph_of(TEXT), {"width": 1})


def test_sizes_are_positive() -> None:
    with pytest.raises(SpecError, match="'time' must be at least 1, got 0"):
        specialize(graph_of(TEXT), {"time": 0})


def test_sizes_that_do_not_fit_are_refused() -> None:
    graph = graph_of("""
        data %x : f32[batch,4]
        %a : f32[batch-2,4] = slice(%x) {starts=[2,0], limits=[batch,4], strides=[1,1]}
        output "a" = %a
        """)
    with pytest.raises(ShapeError, match="outside axis 0 of size 1"):
        specialize(graph, {"batch": 1})
