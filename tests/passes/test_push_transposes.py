"""Tests of `push_transposes`."""

import pytest

from kcompile.ir.op import OPS
from kcompile.passes.push_transposes import num_transposes, push_transposes
from kcompile.passes.transpose_rules import RULES
from tests.passes.helpers import assert_same_numbers, check, check_unchanged, graph_of


def test_through_elementwise_and_broadcasting() -> None:
    check(
        push_transposes,
        """
        data %x : f32[batch,2,4,5]
        param %scale : f32[2]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]} @"t"
        %a : f32[batch,4,5,2] = multiply(%t, %scale) @"a"
        %b : f32[batch,4,5,2] = sigmoid(%a) @"b"
        %c : f32[batch,4,5,2] = multiply(%a, %b) @"c"
        %u : f32[batch,2,4,5] = transpose(%c) {permutation=[0,3,1,2]} @"u"
        output "y" = %u
        """,
        """
        data %x : f32[batch,2,4,5]
        param %scale : f32[2]
        %a:reshape : f32[1,2,1,1] = reshape(%scale) {shape=[1,2,1,1]} @"a"
        %a:multiply : f32[batch,2,4,5] = multiply(%x, %a:reshape) @"a"
        %b:sigmoid : f32[batch,2,4,5] = sigmoid(%a:multiply) @"b"
        %c:multiply : f32[batch,2,4,5] = multiply(%a:multiply, %b:sigmoid) @"c"
        output "y" = %c:multiply
        """,
    )


def test_branches_meet() -> None:
    check(
        push_transposes,
        """
        data %x : f32[batch,2,4,5]
        data %z : f32[batch,2,4,5]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]} @"t"
        %u : f32[batch,4,5,2] = transpose(%z) {permutation=[0,2,3,1]} @"u"
        %a : f32[batch,4,5,4] = concatenate(%t, %u) {axis=-1} @"a"
        %b : f32[batch,4,5,4] = softmax(%a) @"b"
        output "y" = %b
        """,
        """
        data %x : f32[batch,2,4,5]
        data %z : f32[batch,2,4,5]
        %a:concatenate : f32[batch,4,4,5] = concatenate(%x, %z) {axis=1} @"a"
        %b:softmax : f32[batch,4,4,5] = softmax(%a:concatenate) {axis=1} @"b"
        %b:transpose : f32[batch,4,5,4] = transpose(%b:softmax) {permutation=[0,2,3,1]} @"b"
        output "y" = %b:transpose
        """,
        tolerance=1e-05,
    )


def test_a_reduction_takes_it_in() -> None:
    check(
        push_transposes,
        """
        data %x : f32[batch,2,4,5]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]} @"t"
        %a : f32[batch,2] = reduce_mean(%t) {axes=[1,2]} @"a"
        %b : i32[batch,4,5] = argmax(%t) {axis=-1} @"b"
        output "a" = %a
        output "b" = %b
        """,
        """
        data %x : f32[batch,2,4,5]
        %a:reduce_mean : f32[batch,2] = reduce_mean(%x) {axes=[2,3]} @"a"
        %b:argmax : i32[batch,4,5] = argmax(%x) {axis=1} @"b"
        output "a" = %a:reduce_mean
        output "b" = %b:argmax
        """,
        tolerance=1e-06,
    )


def test_attributes_follow_the_axes() -> None:
    check(
        push_transposes,
        """
        data %x : f32[batch,2,4,5]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]} @"t"
        %a : f32[batch,7,5,4] = pad(%t) {widths=[[0,0],[1,2],[0,0],[0,2]], value=1.5} @"a"
        %b : f32[batch,3,5,3] = slice(%a) {starts=[0,1,0,1], limits=[batch,7,5,4], strides=[1,2,1,1]} @"b"
        %c : f32[batch,1,5,3] = reduce_max(%b) {axes=[-3], keepdims=true} @"c"
        %d : f32[batch,6,5,3] = broadcast_to(%c) {shape=[batch,6,5,3]} @"d"
        %u : f32[batch,3,6,5] = transpose(%d) {permutation=[0,3,1,2]} @"u"
        output "y" = %u
        """,  # noqa: E501
        """
        data %x : f32[batch,2,4,5]
        %a:pad : f32[batch,4,7,5] = pad(%x) {widths=[[0,0],[0,2],[1,2],[0,0]], value=1.5} @"a"
        %b:slice : f32[batch,3,3,5] = slice(%a:pad) {starts=[0,1,1,0], limits=[batch,4,7,5], strides=[1,1,2,1]} @"b"
        %c:reduce_max : f32[batch,3,1,5] = reduce_max(%b:slice) {axes=[2], keepdims=true} @"c"
        %d:broadcast_to : f32[batch,3,6,5] = broadcast_to(%c:reduce_max) {shape=[batch,3,6,5]} @"d"
        output "y" = %d:broadcast_to
        """,  # noqa: E501
    )


def test_an_input_is_transposed_once() -> None:
    check(
        push_transposes,
        """
        data %x : f32[batch,4,5,2]
        %a : f32[batch,4,5,2] = exp(%x) @"a"
        %b : f32[batch,2,4,5] = transpose(%a) {permutation=[0,3,1,2]} @"b"
        %c : f32[batch,4,5,2] = tanh(%x) @"c"
        %d : f32[batch,2,4,5] = transpose(%c) {permutation=[0,3,1,2]} @"d"
        output "b" = %b
        output "d" = %d
        """,
        """
        data %x : f32[batch,4,5,2]
        %transpose : f32[batch,2,4,5] = transpose(%x) {permutation=[0,3,1,2]}
        %a:exp : f32[batch,2,4,5] = exp(%transpose) @"a"
        %c:tanh : f32[batch,2,4,5] = tanh(%transpose) @"c"
        output "b" = %a:exp
        output "d" = %c:tanh
        """,
    )


def test_a_gate_of_size_one_needs_a_reshape_only() -> None:
    check(
        push_transposes,
        """
        data %x : f32[batch,2,4,5]
        data %gate : f32[batch,1,1,2]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]} @"t"
        %a : f32[batch,4,5,2] = multiply(%t, %gate) @"a"
        %u : f32[batch,2,4,5] = transpose(%a) {permutation=[0,3,1,2]} @"u"
        output "y" = %u
        """,
        """
        data %x : f32[batch,2,4,5]
        data %gate : f32[batch,1,1,2]
        %a:reshape : f32[batch,2,1,1] = reshape(%gate) {shape=[batch,2,1,1]} @"a"
        %a:multiply : f32[batch,2,4,5] = multiply(%x, %a:reshape) @"a"
        output "y" = %a:multiply
        """,
    )


@pytest.mark.parametrize(
    "line",
    [
        "f32[batch,40] = reshape(%t) {shape=[batch,40]}",
        "f32[batch,4,5,3] = linear(%t, %w)",
        "f32[batch,3,5,2] = gather(%t, %rows) {axis=1}",
        "f32[batch,4,5,2] = dropout(%t, %rng) {rate=0.5, stream=1, forced=true}",
        "f32[batch,4,5,2] = tanh(%t)",
        "f32[6,batch,4,5,2] = broadcast_to(%t) {shape=[6,batch,4,5,2]}",
    ],
)
def test_stays_where_nothing_is_gained(line: str) -> None:
    text = f"""
        data %x : f32[batch,2,4,5]
        data %rows : i32[3]
        rng %rng : u32[2]
        param %w : f32[2,3]
        %t : f32[batch,4,5,2] = transpose(%x) {{permutation=[0,2,3,1]}}
        %y : {line}
        output "y" = %y
        """
    graph = graph_of(text)
    assert push_transposes(graph) is graph


def test_one_transpose_does_not_become_two() -> None:
    text = """
        data %x : f32[batch,2,4,5]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]}
        %a : f32[batch,4,5,2] = exp(%t)
        %b : f32[batch,4,5,2] = tanh(%t)
        output "a" = %a
        output "b" = %b
        """
    assert check_unchanged(push_transposes, text) == []


def test_weights_are_transposed_instead_of_data() -> None:
    graph = graph_of("""
        data %x : f32[batch,2,4,5]
        param %w : f32[4,5,2]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]}
        %a : f32[batch,4,5,2] = add(%t, %w)
        %u : f32[batch,2,4,5] = transpose(%a) {permutation=[0,3,1,2]}
        output "y" = %u
        """)
    pushed = push_transposes(graph)
    assert num_transposes(graph) == 2
    assert num_transposes(pushed) == 0
    assert [node.op.name for node in pushed.nodes] == ["reshape", "transpose", "add"]
    assert_same_numbers(graph, pushed)


def test_every_rule_has_an_op_that_takes_any_order_of_axes() -> None:
    left_out = {op for op in OPS.values() if op not in RULES}
    assert {op.name for op in left_out} == NOT_PUSHED


#: Ops whose meaning is bound to the order of their axes, that have no operands, or random ones.
NOT_PUSHED = {
    *("average_pool", "conv", "max_pool", "batch_norm_training"),
    *("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    *("attention", "layer_norm", "rms_norm", "conv_transpose", "resize"),
    *("lstm", "gru", "simple_rnn"),
    *("bidirectional_lstm", "bidirectional_gru", "bidirectional_rnn"),
    *("constant", "dim_size", "iota", "random_uniform", "dropout"),
    *("gather", "linear", "matmul", "one_hot", "reshape", "transpose"),
    *("cum_sum", "gather_elements", "reverse", "scatter_nd", "tile", "top_k", "trilu"),
    # Sub-graphs and functions of one's own; and what the host computes of strings and vocabularies.
    *("custom_gradient", "foreign_call", "if", "scan", "while"),
    *("ascii_lower", "count_tokens", "cross_hash", "hash_bucket", "lookup", "remove_characters"),
    "split_string",
    *("dynamic_quantize", "integer_matmul"),
}


def test_what_a_reduction_leaves_may_still_be_transposed() -> None:
    graph = graph_of("""
        data %x : f32[batch,2,4,5]
        %t : f32[batch,4,5,2] = transpose(%x) {permutation=[0,2,3,1]}
        %a : f32[batch,5,2] = reduce_max(%t) {axes=[1]}
        %u : f32[batch,2,5] = transpose(%a) {permutation=[0,2,1]}
        output "y" = %u
        """)
    pushed = push_transposes(graph)
    assert [node.op.name for node in pushed.nodes] == ["reduce_max"]
    assert_same_numbers(graph, pushed)
