"""Tests of `give_shapes`, and of `Interface`, which does all that concerns the ends."""

import pytest

from kcompile.ir.errors import SpecError
from kcompile.passes.give_shapes import Shape, give_shapes
from kcompile.passes.interface import Interface
from kcompile.passes.specialize import specialize
from tests.passes.helpers import body_of, graph_of

TEXT = """
    data %x : f32[batch,time,4]
    data %y : f32[batch,4]
    %a : f32[batch,time,4] = relu(%x)
    output "a" = %a
    output "y" = %y
    """


def test_numbers_take_the_place_of_symbols_everywhere() -> None:
    graph = graph_of(TEXT)
    assert give_shapes(graph, {"x": (2, None, 4)}) == specialize(graph, {"batch": 2})
    whole = give_shapes(graph, {"x": (None, 7, 4), "y": (3, 4)})
    assert whole == specialize(graph, {"batch": 3, "time": 7})
    assert give_shapes(graph, {}) is graph
    assert give_shapes(graph, {"x": (None, None, None)}) is graph


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1,)}, "no input 'z' to give a shape. The inputs are: x, y"),
        ({"x": (1, 2)}, r"the input 'x' is f32\[batch,time,4\], and the shape given \[1,2\]"),
        ({"x": (1, None, 5)}, r"and the shape given \[1,\?,5\]"),
        ({"x": (1, 2, 4), "y": (3, 4)}, "the size 'batch' would be 1 and 3"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: dict[str, Shape], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        give_shapes(graph_of(TEXT), shapes)


def test_one_symbol_is_one_number() -> None:
    graph = graph_of('data %x : f32[batch,n,n]\noutput "x" = %x')
    with pytest.raises(SpecError, match=r"the shape given \[1,2,3\]"):
        give_shapes(graph, {"x": (1, 2, 3)})


def test_an_interface_goes_by_the_names_of_the_model() -> None:
    interface = Interface({"batch": 2}, {"x": (2, 3, 4)}, ["x"], {"x": "image", "a": "b"})
    assert (
        body_of(interface.apply(graph_of(TEXT)))
        == """\
data %image : f32[2,4,3]
data %y : f32[2,4]
%transpose : f32[2,3,4] = transpose(%image) {permutation=[0,2,1]}
%a : f32[2,3,4] = relu(%transpose)
output "b" = %a
output "y" = %y"""
    )
    assert Interface().apply(graph_of(TEXT)) == graph_of(TEXT)
