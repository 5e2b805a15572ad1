"""Tests of `lay_out_time_first`."""

from kcompile.passes.lay_out_time_first import lay_out_time_first
from kcompile.passes.push_transposes import num_transposes, push_transposes
from tests.passes.helpers import assert_same_numbers, check, check_unchanged, graph_of

STACK = """
    data %x : f32[batch,5,2]
    param %w : f32[2,9]
    param %r : f32[3,9]
    param %v : f32[3,3]
    param %u : f32[3,3]
    %y : f32[batch,5,3], %h : f32[batch,3] = gru(%x, %w, %r) @"a"
    %relu : f32[batch,5,3] = relu(%y)
    %z : f32[batch,5,3], %k : f32[batch,3] = simple_rnn(%relu, %v, %u) {reverse=true} @"b"
    output "y" = %k
    """


def test_one_layer() -> None:
    check(
        lay_out_time_first,
        """
        data %x : f32[batch,5,2]
        param %w : f32[2,12]
        param %r : f32[3,12]
        %y : f32[batch,5,3], %h : f32[batch,3], %c : f32[batch,3] = lstm(%x, %w, %r) @"a"
        output "y" = %y
        output "h" = %h
        """,
        """
        data %x : f32[batch,5,2]
        param %w : f32[2,12]
        param %r : f32[3,12]
        %a:transpose : f32[5,batch,2] = transpose(%x) {permutation=[1,0,2]} @"a"
        %a:lstm : f32[5,batch,3], %a:lstm_1 : f32[batch,3], %a:lstm_2 : f32[batch,3] = lstm(%a:transpose, %w, %r) {time_major=true} @"a"
        %a:transpose_1 : f32[batch,5,3] = transpose(%a:lstm) {permutation=[1,0,2]} @"a"
        output "y" = %a:transpose_1
        output "h" = %a:lstm_1
        """,  # noqa: E501
    )


def test_stacked_layers_share_the_layout() -> None:
    graph = graph_of(STACK)
    result = push_transposes(lay_out_time_first(graph))
    assert num_transposes(result) == 1
    assert_same_numbers(graph, result)


def test_a_layer_with_a_mask_stays() -> None:
    reasons = check_unchanged(
        lay_out_time_first,
        """
        data %x : f32[batch,5,2]
        data %mask : bool[batch,5]
        param %w : f32[2,3]
        param %r : f32[3,3]
        %y : f32[batch,5,3], %h : f32[batch,3] = simple_rnn(%x, %w, %r, _, _, %mask)
        output "y" = %y
        """,
    )
    assert reasons == ["its steps are put in another order sample by sample, for its mask"]
