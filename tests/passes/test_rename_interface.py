"""Tests of `rename_interface`."""

import pytest

from kcompile.ir.errors import SpecError
from kcompile.passes.rename_interface import rename_interface
from kcompile.runtimes.reference import run
from tests.passes.helpers import body_of, graph_of, random_arrays

TEXT = """
    data %x : f32[batch,3]
    data %y : f32[batch,3]
    param %w : f32[3]
    %dense : f32[batch,3] = multiply(%x, %w)
    %sum : f32[batch,3] = add(%dense, %y)
    output "sum" = %sum
    output "y" = %y
    """


def test_inputs_and_outputs_get_other_names() -> None:
    graph = graph_of(TEXT)
    renamed = rename_interface(graph, {"x": "dense", "sum": "scores"})
    assert (
        body_of(renamed)
        == """\
data %dense : f32[batch,3]
data %y : f32[batch,3]
param %w : f32[3]
%dense_1 : f32[batch,3] = multiply(%dense, %w)
%sum : f32[batch,3] = add(%dense_1, %y)
output "scores" = %sum
output "y" = %y"""
    )
    arrays = random_arrays(graph)
    expected = run(graph, arrays)[0]["sum"]
    arrays["dense"] = arrays.pop("x")
    assert (run(renamed, arrays)[0]["scores"] == expected).all()


def test_names_may_be_exchanged() -> None:
    graph = rename_interface(graph_of(TEXT.replace('output "y" = %y', "")), {"x": "y", "y": "x"})
    assert [entry.name for entry in graph.inputs] == ["y", "x", "w"]
    assert "%dense : f32[batch,3] = multiply(%y, %w)" in body_of(graph)


def test_no_names_change_nothing() -> None:
    graph = graph_of(TEXT)
    assert rename_interface(graph, {}) is graph


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"z": "a"}, "no input or output is named 'z'. There are: sum, x, y"),
        ({"w": "a"}, "no input or output is named 'w'"),
        ({"y": "a"}, "'y' is the name of an input and of an output"),
        ({"x": " "}, "the new name of 'x' is empty"),
        ({"x": "w"}, "'w' is the name of a weight"),
        ({"x": "y"}, "two of them would be named 'y'"),
        ({"sum": "y"}, "two of them would be named 'y'"),
    ],
)
def test_what_cannot_be_renamed_is_refused(names: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        rename_interface(graph_of(TEXT), names)
