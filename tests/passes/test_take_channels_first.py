"""Tests of `take_channels_first`."""

import numpy as np
import pytest

from kcompile.ir.errors import SpecError
from kcompile.passes.take_channels_first import take_channels_first
from kcompile.runtimes.reference import run
from tests.passes.helpers import body_of, graph_of, random_arrays

TEXT = """
    data %x : f32[batch,5,6,2]
    data %y : f32[batch,2]
    %a : f32[batch,5,6,2] = relu(%x)
    output "a" = %a
    output "y" = %y
    """


def test_the_input_is_transposed_inside() -> None:
    graph = graph_of(TEXT)
    first = take_channels_first(graph, ["x"])
    assert (
        body_of(first)
        == """\
data %x : f32[batch,2,5,6]
data %y : f32[batch,2]
%transpose : f32[batch,5,6,2] = transpose(%x) {permutation=[0,2,3,1]}
%a : f32[batch,5,6,2] = relu(%transpose)
output "a" = %a
output "y" = %y"""
    )
    arrays = random_arrays(graph)
    moved = {**arrays, "x": np.moveaxis(arrays["x"], -1, 1)}
    expected, actual = run(graph, arrays)[0], run(first, moved)[0]
    np.testing.assert_array_equal(actual["a"], expected["a"])


def test_no_names_change_nothing() -> None:
    graph = graph_of(TEXT)
    assert take_channels_first(graph, []) is graph


def test_twice_is_another_permutation() -> None:
    graph = graph_of(TEXT)
    twice = take_channels_first(take_channels_first(graph, ["x"]), ["x"])
    assert body_of(twice).startswith("data %x : f32[batch,6,2,5]")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("z", "no input 'z' to take channels first. The inputs are: x, y"),
        ("y", "the input %y : f32\\[batch,2\\] has no axis between batch and channels"),
    ],
)
def test_what_has_no_channels_to_move_is_refused(name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        take_channels_first(graph_of(TEXT), [name])
