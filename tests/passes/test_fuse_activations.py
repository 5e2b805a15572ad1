"""Tests of `fuse_activations`."""

import numpy as np

from kcompile.passes.fuse_activations import fuse_activations
from tests.passes.helpers import assert_same_numbers, check, check_unchanged, graph_of


def test_maximum_with_zero() -> None:
    check(
        fuse_activations,
        """
        data %x : f32[batch,4]
        %zero : f32[] = constant() {value=f32[]<0.0>}
        %a : f32[batch,4] = maximum(%zero, %x) @"a"
        output "y" = %a
        """,
        """
        data %x : f32[batch,4]
        %a:relu : f32[batch,4] = relu(%x) @"a"
        output "y" = %a:relu
        """,
    )


def test_clip_from_either_order() -> None:
    check(
        fuse_activations,
        """
        data %x : f32[batch,4]
        data %i : i32[batch,4]
        %low : f32[] = constant() {value=f32[]<-1.0>}
        %high : f32[4] = constant() {value=f32[4]<6.0, 6.0, 6.0, 6.0>}
        %two : i32[] = constant() {value=i32[]<2>}
        %one : i32[] = constant() {value=i32[]<1>}
        %a : f32[batch,4] = maximum(%x, %low) @"a"
        %b : f32[batch,4] = minimum(%a, %high) @"b"
        %c : i32[batch,4] = minimum(%two, %i) @"c"
        %d : i32[batch,4] = maximum(%c, %one) @"d"
        output "y" = %b
        output "z" = %d
        """,
        """
        data %x : f32[batch,4]
        data %i : i32[batch,4]
        %b:clip : f32[batch,4] = clip(%x) {minimum=-1.0, maximum=6.0} @"b"
        %d:clip : i32[batch,4] = clip(%i) {minimum=1.0, maximum=2.0} @"d"
        output "y" = %b:clip
        output "z" = %d:clip
        """,
    )


def test_relu_six() -> None:
    check(
        fuse_activations,
        """
        data %x : f32[batch,4]
        %six : f32[] = constant() {value=f32[]<6.0>}
        %a : f32[batch,4] = relu(%x) @"a"
        %b : f32[batch,4] = minimum(%a, %six) @"b"
        output "y" = %b
        """,
        """
        data %x : f32[batch,4]
        %b:clip : f32[batch,4] = clip(%x) {minimum=0.0, maximum=6.0} @"b"
        output "y" = %b:clip
        """,
    )


def test_log_of_softmax() -> None:
    check(
        fuse_activations,
        """
        data %x : f32[batch,4]
        %a : f32[batch,4] = softmax(%x) {axis=0} @"a"
        %b : f32[batch,4] = log(%a) @"b"
        output "y" = %b
        """,
        """
        data %x : f32[batch,4]
        %b:log_softmax : f32[batch,4] = log_softmax(%x) {axis=0} @"b"
        output "y" = %b:log_softmax
        """,
        tolerance=1e-05,
    )


def test_not_where_the_other_side_differs() -> None:
    text = """
        data %x : f32[batch,4]
        data %i : i32[batch]
        %one : f32[] = constant() {value=f32[]<1.0>}
        %mixed : f32[4] = constant() {value=f32[4]<0.0, 0.0, 1.0, 0.0>}
        %nan : f32[] = constant() {value=f32[]<nan>}
        %zero : i32[] = constant() {value=i32[]<0>}
        %column : f32[3,1,1] = constant() {value=f32[3,1,1]<0.0, 0.0, 0.0>}
        %a : f32[batch,4] = maximum(%x, %one)
        %b : f32[batch,4] = maximum(%x, %mixed)
        %c : f32[batch,4] = minimum(%a, %nan)
        %d : i32[batch] = maximum(%i, %zero)
        %e : f32[3,batch,4] = maximum(%x, %column)
        output "b" = %b
        output "c" = %c
        output "d" = %d
        output "e" = %e
        """
    assert check_unchanged(fuse_activations, text) == []


def test_refuses_an_empty_interval() -> None:
    text = """
        data %x : f32[batch]
        %low : f32[] = constant() {value=f32[]<2.0>}
        %high : f32[] = constant() {value=f32[]<1.0>}
        %a : f32[batch] = maximum(%x, %low)
        %b : f32[batch] = minimum(%a, %high)
        output "y" = %b
        """
    assert check_unchanged(fuse_activations, text) == ["the interval [2.0, 1.0] is empty"]


def test_refuses_integers_that_a_float_cannot_hold() -> None:
    text = """
        data %x : i64[batch]
        %low : i64[] = constant() {value=i64[]<0>}
        %high : i64[] = constant() {value=i64[]<9007199254740993>}
        %a : i64[batch] = maximum(%x, %low)
        %b : i64[batch] = minimum(%a, %high)
        output "y" = %b
        """
    assert check_unchanged(fuse_activations, text) == ["a clip cannot hold integers this large"]


def test_refuses_interior_values_with_another_use() -> None:
    text = """
        data %x : f32[batch]
        %low : f32[] = constant() {value=f32[]<-1.0>}
        %high : f32[] = constant() {value=f32[]<1.0>}
        %a : f32[batch] = maximum(%x, %low)
        %b : f32[batch] = minimum(%a, %high)
        %c : f32[batch] = softmax(%x)
        %d : f32[batch] = log(%c)
        output "a" = %a
        output "b" = %b
        output "c" = %c
        output "d" = %d
        """
    assert check_unchanged(fuse_activations, text) == ["%a has other uses", "%c has other uses"]


def test_relu_keeps_nan() -> None:
    graph = graph_of("""
        data %x : f32[batch]
        %zero : f32[] = constant() {value=f32[]<0.0>}
        %a : f32[batch] = maximum(%x, %zero)
        output "y" = %a
        """)
    x = np.array([np.nan, -np.inf, np.inf, -1], np.float32)
    assert_same_numbers(graph, fuse_activations(graph), arrays={"x": x})


def test_not_where_a_limit_broadcasts() -> None:
    text = """
        data %x : f32[batch]
        %low : f32[2,1] = constant() {value=f32[2,1]<-1.0, -1.0>}
        %high : f32[] = constant() {value=f32[]<1.0>}
        %a : f32[2,batch] = maximum(%x, %low)
        %b : f32[2,batch] = minimum(%a, %high)
        output "y" = %b
        """
    assert check_unchanged(fuse_activations, text) == []
