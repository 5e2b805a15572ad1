"""Tests of `eliminate_identities`."""

import numpy as np
import pytest

from kcompile.passes.eliminate_dead_values import eliminate_dead_values
from kcompile.passes.eliminate_identities import eliminate_identities
from kcompile.passes.journal import recording
from kcompile.runtimes.reference import run
from tests.passes.helpers import check, check_unchanged, graph_of


def test_neutral_numbers() -> None:
    check(
        eliminate_identities,
        """
        data %x : f32[batch,2]
        data %i : i32[batch]
        %minus_zero : f32[] = constant() {value=f32[]<-0.0>}
        %zeros : f32[2] = constant() {value=f32[2]<0.0, 0.0>}
        %one : f32[1] = constant() {value=f32[1]<1.0>}
        %nothing : i32[] = constant() {value=i32[]<0>}
        %a : f32[batch,2] = add(%minus_zero, %x)
        %b : f32[batch,2] = subtract(%a, %zeros)
        %c : f32[batch,2] = multiply(%one, %b)
        %d : f32[batch,2] = divide(%c, %one)
        %e : f32[batch,2] = power(%d, %one)
        %f : f32[batch,2] = tanh(%e)
        %g : i32[batch] = add(%i, %nothing)
        %h : i32[batch] = absolute(%g)
        output "y" = %f
        output "z" = %h
        """,
        """
        data %x : f32[batch,2]
        data %i : i32[batch]
        %f : f32[batch,2] = tanh(%x)
        %h : i32[batch] = absolute(%i)
        output "y" = %f
        output "z" = %h
        """,
    )


def test_shapes_that_stay() -> None:
    check(
        eliminate_identities,
        """
        data %x : f32[batch,2,1]
        rng %rng : u32[2]
        %a : f32[batch,2,1] = reshape(%x) {shape=[batch,2,1]}
        %b : f32[batch,2,1] = transpose(%a) {permutation=[0,1,2]}
        %c : f32[batch,2,1] = pad(%b) {widths=[[0,0],[0,0],[0,0]]}
        %d : f32[batch,2,1] = slice(%c) {starts=[0,0,0], limits=[batch,2,1], strides=[1,1,1]}
        %e : f32[batch,2,1] = broadcast_to(%d) {shape=[batch,2,1]}
        %f : f32[batch,2,1] = concatenate(%e) {axis=1}
        %g : f32[batch,2,1] = cast(%f) {dtype=f32}
        %h : f32[batch,2,1] = reduce_sum(%g) {axes=[]}
        %i : f32[batch,2,1] = dropout(%h, %rng) {rate=0.0, stream=1}
        %j : f32[batch,2,1] = exp(%i)
        output "y" = %j
        """,
        """
        data %x : f32[batch,2,1]
        %j : f32[batch,2,1] = exp(%x)
        output "y" = %j
        """,
    )


def test_ops_done_twice() -> None:
    check(
        eliminate_identities,
        """
        data %x : f32[batch,2]
        data %c : bool[batch,2]
        %a : f32[batch,2] = relu(%x) @"a"
        %b : f32[batch,2] = relu(%a) @"b"
        %d : f32[batch,2] = clip(%b) {minimum=-1.0, maximum=6.0} @"d"
        %e : f32[batch,2] = clip(%d) {minimum=1.0, maximum=8.0} @"e"
        %f : f32[batch,2] = negative(%x)
        %g : f32[batch,2] = negative(%f)
        %h : f32[batch,2] = absolute(%f) @"h"
        %i : f32[batch,2] = absolute(%h) @"i"
        %j : bool[batch,2] = logical_not(%c)
        %k : bool[batch,2] = logical_not(%j)
        %l : f32[batch,2] = where(%k, %g, %i)
        output "y" = %e
        output "z" = %l
        """,
        """
        data %x : f32[batch,2]
        data %c : bool[batch,2]
        %e:clip : f32[batch,2] = clip(%x) {minimum=1.0, maximum=6.0} @"e"
        %h:absolute : f32[batch,2] = absolute(%x) @"h"
        %l : f32[batch,2] = where(%c, %x, %h:absolute)
        output "y" = %e:clip
        output "z" = %l
        """,
    )


@pytest.mark.parametrize("line", ["add(%x, %plus)", "add(%plus, %x)", "subtract(%x, %minus)"])
def test_refuses_sums_that_lose_the_sign_of_zero(line: str) -> None:
    text = f"""
        data %x : f32[batch]
        %plus : f32[] = constant() {{value=f32[]<0.0>}}
        %minus : f32[] = constant() {{value=f32[]<-0.0>}}
        %a : f32[batch] = {line}
        output "y" = %a
        """
    graph = eliminate_dead_values(graph_of(text))
    with recording() as journal:
        assert eliminate_identities(graph) is graph
    assert [refusal.reason for refusal in journal.refusals] == ["it makes 0.0 of -0.0"]


def test_sums_with_the_right_zero_keep_every_bit() -> None:
    graph = graph_of("""
        data %x : f32[batch]
        %plus : f32[] = constant() {value=f32[]<0.0>}
        %minus : f32[] = constant() {value=f32[]<-0.0>}
        %a : f32[batch] = add(%x, %minus)
        %b : f32[batch] = subtract(%a, %plus)
        output "y" = %b
        """)
    x = np.array([-0.0, 0.0, np.nan, -np.inf], np.float32)
    before, _ = run(graph, {"x": x})
    after, _ = run(eliminate_identities(graph), {"x": x})
    assert before["y"].tobytes() == after["y"].tobytes() == x.tobytes()


def test_not_where_something_changes() -> None:
    text = """
        data %x : f32[batch,2]
        %ones : f32[3,1,1] = constant() {value=f32[3,1,1]<1.0, 1.0, 1.0>}
        %mixed : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %zeros : f32[2] = constant() {value=f32[2]<0.0, -0.0>}
        %nan : f32[] = constant() {value=f32[]<nan>}
        %a : f32[3,batch,2] = multiply(%x, %ones)
        %b : f32[batch,2] = multiply(%x, %mixed)
        %c : f32[batch,2] = add(%b, %zeros)
        %d : f32[batch,2] = multiply(%c, %nan)
        %e : f32[3,batch,2] = broadcast_to(%d) {shape=[3,batch,2]}
        %f : f32[3,batch,1] = slice(%e) {starts=[0,0,0], limits=[3,batch,1], strides=[1,1,1]}
        %g : f32[3,batch,3] = pad(%f) {widths=[[0,0],[0,0],[1,1]]}
        %h : f64[3,batch,3] = cast(%g) {dtype=f64}
        %one : f32[] = constant() {value=f32[]<1.0>}
        %i : f32[batch,2] = divide(%one, %x)
        %j : f32[batch,2] = power(%one, %i)
        output "a" = %a
        output "h" = %h
        output "j" = %j
        """
    assert check_unchanged(eliminate_identities, text) == []


def test_refuses_clips_that_do_not_meet() -> None:
    text = """
        data %x : f32[batch]
        %a : f32[batch] = clip(%x) {minimum=-3.0, maximum=-2.0}
        %b : f32[batch] = relu(%a)
        %c : f32[batch] = clip(%x) {minimum=1.0, maximum=0.0}
        %d : f32[batch] = clip(%c) {minimum=0.0, maximum=4.0}
        output "b" = %b
        output "d" = %d
        """
    assert check_unchanged(eliminate_identities, text) == [
        "the intervals [-3.0, -2.0] and [0.0, inf] do not meet",
        "a clip to an empty interval",
    ]


@pytest.mark.parametrize(
    "node",
    [
        "%y : f32[2] = slice(%x) {starts=[0], limits=[4], strides=[2]}",
        "%y : f32[5] = pad(%x) {widths=[[0,1]]}",
        "%y : f32[4] = dropout(%x, %rng) {rate=0.5, stream=1, forced=true}",
        "%y : f32[4] = subtract(%zero, %x)",
        "%y : f32[4] = divide(%one, %x)",
        "%y : f32[4] = power(%one, %x)",
    ],
)
def test_what_is_nearly_an_identity_stays(node: str) -> None:
    given = {
        "rng": "rng %rng : u32[2]",
        "zero": "%zero : f32[] = constant() {value=f32[]<0.0>}",
        "one": "%one : f32[] = constant() {value=f32[]<1.0>}",
    }
    used = [line for name, line in given.items() if f"%{name}" in node]
    text = "\n".join(["data %x : f32[4]", *used, node, 'output "y" = %y'])
    assert check_unchanged(eliminate_identities, text) == []
