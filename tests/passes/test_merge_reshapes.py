"""Tests of `merge_reshapes`."""

from kcompile.passes.merge_reshapes import merge_reshapes
from tests.passes.helpers import check, check_unchanged


def test_chain_of_reshapes() -> None:
    check(
        merge_reshapes,
        """
        data %x : f32[batch,2,6]
        %a : f32[batch,12] = reshape(%x) {shape=[batch,12]} @"a"
        %b : f32[batch,3,4] = reshape(%a) {shape=[batch,3,4]} @"b"
        %c : f32[batch,4,3] = reshape(%b) {shape=[batch,4,3]} @"c"
        output "y" = %c
        """,
        """
        data %x : f32[batch,2,6]
        %c:reshape : f32[batch,4,3] = reshape(%x) {shape=[batch,4,3]} @"c"
        output "y" = %c:reshape
        """,
    )


def test_back_to_the_same_shape() -> None:
    check(
        merge_reshapes,
        """
        data %x : f32[batch,2,6]
        %a : f32[batch,12] = reshape(%x) {shape=[batch,12]}
        %b : f32[batch,2,6] = reshape(%a) {shape=[batch,2,6]}
        %c : f32[batch,2,6] = relu(%b)
        output "y" = %c
        """,
        """
        data %x : f32[batch,2,6]
        %c : f32[batch,2,6] = relu(%x)
        output "y" = %c
        """,
    )


def test_inner_with_another_use_stays() -> None:
    check(
        merge_reshapes,
        """
        data %x : f32[batch,2,6]
        %a : f32[batch,12] = reshape(%x) {shape=[batch,12]}
        %b : f32[batch,3,4] = reshape(%a) {shape=[batch,3,4]}
        output "a" = %a
        output "b" = %b
        """,
        """
        data %x : f32[batch,2,6]
        %a : f32[batch,12] = reshape(%x) {shape=[batch,12]}
        %reshape : f32[batch,3,4] = reshape(%x) {shape=[batch,3,4]}
        output "a" = %a
        output "b" = %reshape
        """,
    )


def test_a_single_reshape_stays() -> None:
    text = """
        data %x : f32[batch,2,6]
        %a : f32[batch,12] = reshape(%x) {shape=[batch,12]}
        output "y" = %a
        """
    assert check_unchanged(merge_reshapes, text) == []


def test_reduced_axes_that_come_back_are_kept() -> None:
    check(
        merge_reshapes,
        """
        data %x : f32[batch,4,3]
        %m : f32[batch,3] = reduce_mean(%x) {axes=[1]} @"pool"
        %y : f32[batch,1,3] = reshape(%m) {shape=[batch,1,3]} @"reshape"
        output "y" = %y
        """,
        """
        data %x : f32[batch,4,3]
        %pool:reduce_mean : f32[batch,1,3] = reduce_mean(%x) {axes=[1], keepdims=true} @"pool"
        output "y" = %pool:reduce_mean
        """,
    )


def test_other_shapes_of_what_is_reduced_stay() -> None:
    check_unchanged(
        merge_reshapes,
        """
        data %x : f32[batch,4,3]
        %m : f32[batch,3] = reduce_max(%x) {axes=[1]}
        %y : f32[batch,3,1] = reshape(%m) {shape=[batch,3,1]}
        output "y" = %y
        """,
    )
