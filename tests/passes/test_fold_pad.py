"""Tests of `fold_pad`."""

import pytest

from kcompile.passes.fold_pad import fold_pad
from tests.passes.helpers import assert_same_numbers, check, check_unchanged, graph_of


def test_into_a_convolution() -> None:
    check(
        fold_pad,
        """
        data %x : f32[batch,5,5,2]
        data %w : f32[3,3,2,4]
        %p : f32[batch,7,8,2] = pad(%x) {widths=[[0,0],[1,1],[1,2],[0,0]]} @"pad"
        %c : f32[batch,3,3,4] = conv(%p, %w) {strides=[2,2], padding=[[0,0],[0,0]], dilation=[1,1]} @"conv"
        output "y" = %c
        """,  # noqa: E501
        """
        data %x : f32[batch,5,5,2]
        data %w : f32[3,3,2,4]
        %conv:conv : f32[batch,3,3,4] = conv(%x, %w) {strides=[2,2], padding=[[1,1],[1,2]], dilation=[1,1]} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
    )


def test_adds_to_the_padding_of_a_convolution_with_bias() -> None:
    before = graph_of(
        """
        data %x : f32[batch,2,5]
        data %w : f32[3,2,4]
        data %b : f32[4]
        %p : f32[batch,2,8] = pad(%x) {widths=[[0,0],[0,0],[2,1]]}
        %c : f32[batch,4,9] = conv(%p, %w, %b) {strides=[1], padding=[[1,2]], dilation=[1], data_format="channels_first"}
        output "y" = %c
        """  # noqa: E501
    )
    after = fold_pad(before)
    assert [(node.op.name, node.op.padding) for node in after.nodes] == [("conv", ((3, 3),))]
    assert_same_numbers(before, after)


def test_into_a_pooling_of_what_is_not_negative() -> None:
    check(
        fold_pad,
        """
        data %x : f32[batch,2,4]
        %r : f32[batch,2,4] = relu(%x)
        %p : f32[batch,2,6] = pad(%r) {widths=[[0,0],[0,0],[1,1]]} @"pad"
        %y : f32[batch,2,2] = max_pool(%p) {window=[3], strides=[2], padding=[[0,0]], data_format="channels_first"} @"pool"
        output "y" = %y
        """,  # noqa: E501
        """
        data %x : f32[batch,2,4]
        %r : f32[batch,2,4] = relu(%x)
        %pool:max_pool : f32[batch,2,2] = max_pool(%r) {window=[3], strides=[2], padding=[[1,1]], data_format="channels_first"} @"pool"
        output "y" = %pool:max_pool
        """,  # noqa: E501
    )


CONV = "%c : f32[batch,{},4] = conv(%p, %w) {{strides=[1], padding={}, dilation=[1]}}"
POOL = "%c : f32[batch,{},2] = max_pool(%p) {{window=[2], strides=[1], padding=[[0,0]]}}"


@pytest.mark.parametrize(
    ("pad", "size", "use", "reason"),
    [
        ("widths=[[0,0],[1,1],[0,0]], value=1.0", 7, CONV.format(5, "[[0,0]]"), "pads with 1"),
        ("widths=[[0,0],[1,1],[0,0]]", 7, CONV.format(7, '"same"'), "'same' depends on the padded"),
        ("widths=[[0,0],[1,1],[0,0]]", 7, POOL.format(6), "may be below the zeros"),
        ("widths=[[0,0],[2,0],[0,0]]", 7, POOL.format(6), "would have padding alone"),
    ],
)
def test_refuses(pad: str, size: int, use: str, reason: str) -> None:
    (found,) = check_unchanged(
        fold_pad,
        f"""
        data %x : f32[batch,5,2]
        data %w : f32[3,2,4]
        %p : f32[batch,{size},2] = pad(%x) {{{pad}}}
        {use}
        output "y" = %c
        output "w" = %w
        """,
    )
    assert reason in found


def test_refuses_a_pooling_of_what_is_clipped_below_zero() -> None:
    (found,) = check_unchanged(
        fold_pad,
        """
        data %x : f32[batch,4,2]
        %r : f32[batch,4,2] = clip(%x) {minimum=-0.5, maximum=6.0}
        %p : f32[batch,6,2] = pad(%r) {widths=[[0,0],[1,1],[0,0]]}
        %y : f32[batch,5,2] = max_pool(%p) {window=[2], strides=[1], padding=[[0,0]]}
        output "y" = %y
        """,
    )
    assert "may be below the zeros" in found


def test_refuses_padded_channels() -> None:
    (found,) = check_unchanged(
        fold_pad,
        """
        data %x : f32[batch,5,2]
        data %w : f32[3,3,4]
        %p : f32[batch,5,3] = pad(%x) {widths=[[0,0],[0,0],[0,1]]}
        %c : f32[batch,3,4] = conv(%p, %w) {strides=[1], padding=[[0,0]], dilation=[1]}
        output "y" = %c
        """,
    )
    assert "other axes than the spatial" in found


def test_refuses_a_pad_with_another_use() -> None:
    (found,) = check_unchanged(
        fold_pad,
        """
        data %x : f32[batch,5,2]
        data %w : f32[3,2,4]
        %p : f32[batch,7,2] = pad(%x) {widths=[[0,0],[1,1],[0,0]]}
        %c : f32[batch,5,4] = conv(%p, %w) {strides=[1], padding=[[0,0]], dilation=[1]}
        output "y" = %c
        output "p" = %p
        """,
    )
    assert "other uses" in found
