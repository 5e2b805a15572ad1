"""Tests of `fuse_bias`."""

import pytest

from kcompile.passes.fuse_bias import fuse_bias
from tests.passes.helpers import check, check_unchanged


def test_matmul() -> None:
    check(
        fuse_bias,
        """
        data %x : f32[batch,4]
        param %dense/kernel : f32[4,3]
        param %dense/bias : f32[3]
        %dense:matmul : f32[batch,3] = matmul(%x, %dense/kernel) @"dense"
        %dense:add : f32[batch,3] = add(%dense/bias, %dense:matmul) @"dense"
        output "y" = %dense:add
        """,
        """
        data %x : f32[batch,4]
        param %dense/kernel : f32[4,3]
        param %dense/bias : f32[3]
        %dense:linear : f32[batch,3] = linear(%x, %dense/kernel, %dense/bias) @"dense"
        output "y" = %dense:linear
        """,
    )


def test_matmul_of_rank_three_and_a_bias_with_leading_ones() -> None:
    check(
        fuse_bias,
        """
        data %x : f32[batch,time,4]
        param %w : f32[4,3]
        param %b : f32[1,1,3]
        %p : f32[batch,time,3] = matmul(%x, %w) @"dense"
        %s : f32[batch,time,3] = add(%p, %b) @"dense"
        output "y" = %s
        """,
        """
        data %x : f32[batch,time,4]
        param %w : f32[4,3]
        param %b : f32[1,1,3]
        %dense:reshape : f32[3] = reshape(%b) {shape=[3]} @"dense"
        %dense:linear : f32[batch,time,3] = linear(%x, %w, %dense:reshape) @"dense"
        output "y" = %dense:linear
        """,
    )


def test_conv_in_both_formats() -> None:
    check(
        fuse_bias,
        """
        data %x : f32[batch,4,4,2]
        data %z : f32[batch,2,4,4]
        param %w : f32[3,3,2,3]
        param %b : f32[3]
        param %c : f32[3,1,1]
        %p : f32[batch,2,2,3] = conv(%x, %w) {strides=[1,1], padding=[[0,0],[0,0]], dilation=[1,1]} @"p"
        %q : f32[batch,2,2,3] = add(%p, %b) @"p"
        %r : f32[batch,3,2,2] = conv(%z, %w) {strides=[1,1], padding=[[0,0],[0,0]], dilation=[1,1], data_format="channels_first"} @"r"
        %s : f32[batch,3,2,2] = add(%r, %c) @"r"
        output "y" = %q
        output "z" = %s
        """,  # noqa: E501
        """
        data %x : f32[batch,4,4,2]
        data %z : f32[batch,2,4,4]
        param %w : f32[3,3,2,3]
        param %b : f32[3]
        param %c : f32[3,1,1]
        %p:conv : f32[batch,2,2,3] = conv(%x, %w, %b) {strides=[1,1], padding=[[0,0],[0,0]], dilation=[1,1]} @"p"
        %r:reshape : f32[3] = reshape(%c) {shape=[3]} @"r"
        %r:conv : f32[batch,3,2,2] = conv(%z, %w, %r:reshape) {strides=[1,1], padding=[[0,0],[0,0]], dilation=[1,1], data_format="channels_first"} @"r"
        output "y" = %p:conv
        output "z" = %r:conv
        """,  # noqa: E501
    )


def test_into_a_constant_bias() -> None:
    check(
        fuse_bias,
        """
        data %x : f32[batch,2]
        %w : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %b : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %c : f32[1,2] = constant() {value=f32[1,2]<5.0, 6.0>}
        %p : f32[batch,2] = linear(%x, %w, %b) @"dense"
        %q : f32[batch,2] = add(%p, %c) @"add"
        output "y" = %q
        """,
        """
        data %x : f32[batch,2]
        %w : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %b : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %c : f32[1,2] = constant() {value=f32[1,2]<5.0, 6.0>}
        %add:reshape : f32[2] = reshape(%c) {shape=[2]} @"add"
        %add:add : f32[2] = add(%b, %add:reshape) @"add"
        %dense:linear : f32[batch,2] = linear(%x, %w, %add:add) @"dense"
        output "y" = %dense:linear
        """,
        tolerance=1e-05,
    )


def test_refuses_a_product_with_another_use() -> None:
    text = """
        data %x : f32[batch,4]
        param %w : f32[4,3]
        param %b : f32[3]
        %p : f32[batch,3] = matmul(%x, %w)
        %s : f32[batch,3] = add(%p, %b)
        output "p" = %p
        output "s" = %s
        """
    assert check_unchanged(fuse_bias, text) == ["%p has other uses"]


def test_refuses_a_second_bias_that_is_not_known() -> None:
    text = """
        data %x : f32[batch,4]
        param %w : f32[4,3]
        param %b : f32[3]
        param %c : f32[3]
        %p : f32[batch,3] = linear(%x, %w, %b)
        %s : f32[batch,3] = add(%p, %c)
        output "s" = %s
        """
    reasons = check_unchanged(fuse_bias, text)
    assert reasons == ["it has a bias already, and the sum of the two is not known"]


@pytest.mark.parametrize(
    ("addend", "total"),
    [("[1]", "[4,3]"), ("[4,1]", "[4,3]"), ("[2,1,3]", "[2,4,3]"), ("[]", "[4,3]")],
)
def test_not_with_an_addend_of_another_shape(addend: str, total: str) -> None:
    text = f"""
        data %x : f32[4,5]
        param %w : f32[5,3]
        param %b : f32{addend}
        %p : f32[4,3] = matmul(%x, %w)
        %s : f32{total} = add(%p, %b)
        output "s" = %s
        """
    assert check_unchanged(fuse_bias, text) == []


def test_not_with_a_vector_along_another_axis() -> None:
    text = """
        data %x : f32[batch,2,4]
        param %w : f32[1,2,4]
        param %b : f32[4]
        %p : f32[batch,4,4] = conv(%x, %w) {strides=[1], padding="same", dilation=[1], data_format="channels_first"}
        %s : f32[batch,4,4] = add(%p, %b)
        output "s" = %s
        """  # noqa: E501
    assert check_unchanged(fuse_bias, text) == []


def test_not_with_a_stack_of_matrices_or_data() -> None:
    text = """
        data %x : f32[3,2,4]
        data %z : f32[3,2,5]
        param %w : f32[3,4,5]
        param %v : f32[4,5]
        param %b : f32[5]
        %p : f32[3,2,5] = matmul(%x, %w)
        %s : f32[3,2,5] = add(%p, %b)
        %q : f32[3,2,5] = matmul(%x, %v)
        %t : f32[3,2,5] = add(%q, %z)
        output "s" = %s
        output "t" = %t
        """
    assert check_unchanged(fuse_bias, text) == []


def test_a_bias_that_is_split_like_the_product() -> None:
    check(
        fuse_bias,
        """
        data %x : f32[batch,time,4]
        param %w : f32[4,6]
        param %b : f32[2,3]
        %m : f32[batch,time,6] = matmul(%x, %w) @"query"
        %r : f32[batch,time,2,3] = reshape(%m) {shape=[batch,time,2,3]} @"query"
        %y : f32[batch,time,2,3] = add(%r, %b) @"query"
        output "y" = %y
        """,
        """
        data %x : f32[batch,time,4]
        param %w : f32[4,6]
        param %b : f32[2,3]
        %query:reshape : f32[6] = reshape(%b) {shape=[6]} @"query"
        %query:linear : f32[batch,time,6] = linear(%x, %w, %query:reshape) @"query"
        %query:reshape_1 : f32[batch,time,2,3] = reshape(%query:linear) {shape=[batch,time,2,3]} @"query"
        output "y" = %query:reshape_1
        """,  # noqa: E501
    )


def test_an_addend_that_is_not_split_like_the_product_stays() -> None:
    check_unchanged(
        fuse_bias,
        """
        data %x : f32[batch,2,4]
        param %w : f32[4,6]
        param %b : f32[2,1,3]
        %m : f32[batch,2,6] = matmul(%x, %w)
        %r : f32[batch,2,2,3] = reshape(%m) {shape=[batch,2,2,3]}
        %y : f32[batch,2,2,3] = add(%r, %b)
        output "y" = %y
        """,
    )
