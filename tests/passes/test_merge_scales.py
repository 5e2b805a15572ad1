"""Tests of merge_scales."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile
from kcompile.passes.merge_scales import merge_scales
from tests.passes.helpers import check, check_unchanged, graph_of

CHAIN = """
    data %x : f32[2,4]
    %two : f32[] = constant() {{value=f32[]<2.0>}}
    %three : f32[1,4] = constant() {{value=f32[1,4]<8.0, 8.0, 8.0, 8.0>}}
    %a : f32[2,4] = {first}
    %b : f32[2,4] = {second}
    output "a" = %a
    output "b" = %b
"""


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [
        ("multiply(%x, %two)", "multiply(%three, %a)", 16.0),
        ("multiply(%two, %x)", "divide(%a, %three)", 0.25),
        ("divide(%x, %two)", "multiply(%a, %three)", 4.0),
        ("divide(%x, %two)", "divide(%a, %three)", 0.0625),
    ],
)
def test_two_scalings_become_one_each(first: str, second: str, number: float) -> None:
    after = f"""
    data %x : f32[2,4]
    %two : f32[] = constant() {{value=f32[]<2.0>}}
    %a : f32[2,4] = {first}
    %constant : f32[] = constant() {{value=f32[]<{number}>}}
    %multiply : f32[2,4] = multiply(%x, %constant)
    output "a" = %a
    output "b" = %multiply
    """
    before = CHAIN.format(first=first, second=second)
    check(merge_scales, before, after)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("divide(%two, %x)", "multiply(%a, %three)"),
        ("multiply(%x, %two)", "divide(%three, %a)"),
        ("subtract(%x, %two)", "multiply(%a, %three)"),
    ],
)
def test_what_is_no_scaling_stays(first: str, second: str) -> None:
    assert check_unchanged(merge_scales, CHAIN.format(first=first, second=second)) == []


def test_numbers_that_differ_and_broadcasts_stay() -> None:
    mixed = """
    data %x : f32[4]
    %two : f32[] = constant() {value=f32[]<2.0>}
    %wide : f32[3,1] = constant() {value=f32[3,1]<3.0, 3.0, 3.0>}
    %mixed : f32[4] = constant() {value=f32[4]<1.0, 2.0, 3.0, 4.0>}
    %a : f32[4] = multiply(%x, %two)
    %b : f32[3,4] = multiply(%a, %wide)
    %c : f32[4] = multiply(%a, %mixed)
    output "b" = %b
    output "c" = %c
    """
    assert check_unchanged(merge_scales, mixed) == []


def test_integers_and_quotients_by_zero_stay() -> None:
    for dtype, zero in (("i32", "multiply"), ("f32", "divide")):
        number = "0" if dtype == "i32" else "0.0"
        body = f"""
        data %x : {dtype}[4]
        %zero : {dtype}[] = constant() {{value={dtype}[]<{number}>}}
        %a : {dtype}[4] = {zero}(%x, %zero)
        %b : {dtype}[4] = {zero}(%a, %zero)
        output "b" = %b
        """
        assert check_unchanged(merge_scales, body) == []


def test_products_without_digits_are_refused() -> None:
    body = """
    data %x : f32[4]
    %large : f32[] = constant() {value=f32[]<1e30>}
    %a : f32[4] = multiply(%x, %large)
    %b : f32[4] = multiply(%a, %large)
    %small : f32[] = constant() {value=f32[]<1e-30>}
    %c : f32[4] = multiply(%x, %small)
    %d : f32[4] = multiply(%c, %small)
    output "b" = %b
    output "d" = %d
    """
    reasons = check_unchanged(merge_scales, body)
    assert reasons == [
        "the product of the numbers, 1e+60, loses digits",
        "the product of the numbers, 1e-60, loses digits",
    ]


@pytest.mark.parametrize("op", ["multiply", "divide"])
def test_onnxruntime_refuses_what_this_takes_away(op: str) -> None:
    """Two scalings in a row, each before a product with a constant (onnxruntime 1.32)."""
    graph = graph_of(f"""
    data %x : f32[2,2,1]
    %two : f32[1] = constant() {{value=f32[1]<2.0>}}
    %three : f32[] = constant() {{value=f32[]<3.0>}}
    %v : f32[1,2] = constant() {{value=f32[1,2]<1.0, 2.0>}}
    %w : f32[1,2] = constant() {{value=f32[1,2]<1.0, 3.0>}}
    %a : f32[2,2,1] = {op}(%x, %two)
    %b : f32[2,2,2] = matmul(%a, %v)
    %c : f32[2,2,1] = {op}(%a, %three)
    %d : f32[2,2,2] = matmul(%c, %w)
    output "b" = %b
    output "d" = %d
    """)
    compiled = kcompile.compile(graph)
    outputs = compiled.run(np.ones((2, 2, 1), np.float32))
    number = 6.0 if op == "multiply" else 1 / 6
    np.testing.assert_allclose(outputs["d"][0, 0], [number, 3 * number], rtol=1e-6)


def test_refuses_numbers_between_which_x_may_overflow() -> None:
    (reason,) = check_unchanged(
        merge_scales,
        """
        data %x : f32[batch,3]
        %a : f32[] = constant() {value=f32[]<1e+30>}
        %b : f32[] = constant() {value=f32[]<1e-30>}
        %y : f32[batch,3] = multiply(%x, %a)
        %z : f32[batch,3] = multiply(%y, %b)
        output "z" = %z
        """,
    )
    assert "may overflow" in reason
