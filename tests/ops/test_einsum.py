"""einsum and its relatives against NumPy, on all runtimes."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile
from kcompile import layers, ops
from kcompile.ir.errors import ShapeError
from kcompile.ir.ops import Matmul, Multiply, ReduceSum, Reshape, Transpose
from kcompile.models import Model
from kcompile.ops.einsum import parse_equation

SIZES = dict(zip("abcdefgh", (2, 3, 4, 5, 3, 2, 4, 1), strict=True))
EQUATIONS = [
    *("ab,bc->ac", "ab,bc->ca", "abc,cd->abd", "abc,cde->abde", "abcd,cde->abe", "ab,ab->ab"),
    *("ab,ab->", "ab,ab", "ab->ba", "ab->b", "ab->", "a,b->ab", "a,b->ba", "ab,cd->", "ab,cb->ac"),
    *("abc,acd->abd", "abc,adc->adb", "ab,b", "a,a->a", "abc->cab", "ab,c->acb", "kd,abd->abk"),
    *("ab,cb,dc->ad", "ab,bc,cd->ad", "abc,ab,bc->c", "afcd,abcd->acbf", "ah,hb->ab"),
]
SIZES |= {"k": 3}
DOTS = [
    ("...ab,bc->...ac", (2, 3, 4, 5), (5, 2)),
    ("...ab,...bc->...ac", (2, 1, 4, 5), (3, 5, 2)),
    ("ab...,bc->ac...", (4, 5, 2, 3), (5, 2)),
    ("a...,b...->ab...", (4, 5, 2), (3, 1, 2)),
    ("...a->...", (2, 3, 4)),
    ("aa->a", (3, 3)),
    ("aa", (3, 3)),
    ("aab->ab", (3, 3, 2)),
    ("...,...->...", (3, 1), (1, 4)),
    ("...ii->...i", (2, 3, 3)),
    ("i...->...", (2, 3, 4)),
    ("...ab,...ab->...b", (2, 3, 4), (1, 3, 4)),
]
CASES = [(e, *(tuple(SIZES[c] for c in t) for t in e.split("->")[0].split(","))) for e in EQUATIONS]


@pytest.mark.parametrize("entry", [*CASES, *DOTS], ids=lambda entry: entry[0])
def test_equals_numpy(entry: tuple) -> None:
    equation, *shapes = entry
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype("f") for shape in shapes]
    found = np.asarray(ops.einsum(equation, *arrays))
    expected = np.einsum(equation, *arrays)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


@pytest.mark.parametrize("equation", ["abc,acd->abd", "abc,abd->acd", "abc,adc->adb", "abb->ab"])
def test_open_sizes_are_exported(equation: str) -> None:
    terms = equation.split("->")[0].split(",")
    shapes = [tuple(None if c == "b" else SIZES[c] for c in term[1:]) for term in terms]
    if equation == "abb->ab":
        shapes = [(3, 3)]
    inputs = [layers.Input(shape) for shape in shapes]
    kcompile.compile(Model(inputs, ops.einsum(equation, *inputs)))


def test_a_projection_is_one_product() -> None:
    x, w = layers.Input((5, 4)), layers.Input((4, 2, 3), batch_size=1)
    graph = Model([x, w], ops.einsum("abc,zcde->abde", x, w)).graph()
    kinds = [type(node.op) for node in graph.nodes]
    assert kinds.count(Matmul) == 1
    assert set(kinds) <= {Matmul, Reshape, ReduceSum}


def test_an_outer_product_multiplies() -> None:
    a, b = layers.Input((3,)), layers.Input((4,))
    graph = Model([a, b], ops.einsum("ni,nj->nji", a, b)).graph()
    assert {type(node.op) for node in graph.nodes} <= {Multiply, Reshape, Transpose}


@pytest.mark.parametrize(
    ("equation", "ranks", "message"),
    [
        ("ab,bc->ac", [2], "takes 2 operands, got 1"),
        ("ab->a", [3], "does not fit an operand of rank 3"),
        ("...ab->a", [1], "does not fit an operand of rank 1"),
        ("ab->ac", [2], "needs axes of the operands"),
        ("ab->aa", [2], "each once"),
        ("...a->a", [2], "has no '...'"),
        ("a1->a", [2], "is not an equation"),
    ],
)
def test_malformed_equations_are_refused(equation: str, ranks: list[int], message: str) -> None:
    with pytest.raises(ShapeError, match=message.replace(".", r"\.")):
        parse_equation(equation, ranks)


def test_sizes_have_to_agree() -> None:
    with pytest.raises(ShapeError, match="axes 'b' need the same size"):
        ops.einsum("ab,bc->ac", np.ones((2, 3), "f"), np.ones((4, 2), "f"))
