"""Tests of `merge_heads`."""

from kcompile.passes.merge_heads import merge_heads
from tests.passes.helpers import check, check_unchanged


def test_heads_that_were_split_for_attention() -> None:
    check(
        merge_heads,
        """
        data %q : f32[batch,3,6]
        data %k : f32[batch,time,6]
        data %mask : bool[batch,1,1,time]
        %a : f32[batch,3,2,3] = reshape(%q) {shape=[batch,3,2,3]} @"q"
        %b : f32[batch,time,2,3] = reshape(%k) {shape=[batch,time,2,3]} @"k"
        %y : f32[batch,3,2,3] = attention(%a, %b, %b, _, %mask) {scale=0.5} @"attention"
        output "y" = %y
        """,
        """
        data %q : f32[batch,3,6]
        data %k : f32[batch,time,6]
        data %mask : bool[batch,1,1,time]
        %attention:attention : f32[batch,3,6] = attention(%q, %k, %k, _, %mask) {scale=0.5, num_heads=2} @"attention"
        %attention:reshape : f32[batch,3,2,3] = reshape(%attention:attention) {shape=[batch,3,2,3]} @"attention"
        output "y" = %attention:reshape
        """,  # noqa: E501
    )


def test_leaves_heads_that_were_not_split() -> None:
    check_unchanged(
        merge_heads,
        """
        data %q : f32[batch,3,2,3]
        %y : f32[batch,3,2,3] = attention(%q, %q, %q) {scale=0.5}
        output "y" = %y
        """,
    )


def test_leaves_another_reshape() -> None:
    """Rows become heads here: not what splitting the last axis gives."""
    check_unchanged(
        merge_heads,
        """
        data %q : f32[batch,6,3]
        %a : f32[batch,3,2,3] = reshape(%q) {shape=[batch,3,2,3]}
        %y : f32[batch,3,2,3] = attention(%a, %a, %a) {scale=0.5}
        output "y" = %y
        """,
    )
