"""Tests of `merge_transposes`."""

from kcompile.passes.merge_transposes import merge_transposes
from tests.passes.helpers import check, check_unchanged


def test_composes() -> None:
    check(
        merge_transposes,
        """
        data %x : f32[batch,2,6]
        %a : f32[2,6,batch] = transpose(%x) {permutation=[1,2,0]} @"a"
        %b : f32[batch,6,2] = transpose(%a) {permutation=[2,1,0]} @"b"
        output "y" = %b
        """,
        """
        data %x : f32[batch,2,6]
        %b:transpose : f32[batch,6,2] = transpose(%x) {permutation=[0,2,1]} @"b"
        output "y" = %b:transpose
        """,
    )


def test_inverse_pair_vanishes() -> None:
    check(
        merge_transposes,
        """
        data %x : f32[batch,2,6]
        %a : f32[2,6,batch] = transpose(%x) {permutation=[1,2,0]}
        %b : f32[batch,2,6] = transpose(%a) {permutation=[2,0,1]}
        %c : f32[batch,2,6] = tanh(%b)
        output "y" = %c
        """,
        """
        data %x : f32[batch,2,6]
        %c : f32[batch,2,6] = tanh(%x)
        output "y" = %c
        """,
    )


def test_axes_of_size_one_become_a_reshape() -> None:
    check(
        merge_transposes,
        """
        data %x : f32[batch,1,1,6]
        %a : f32[batch,6,1,1] = transpose(%x) {permutation=[0,3,1,2]} @"a"
        output "y" = %a
        """,
        """
        data %x : f32[batch,1,1,6]
        %a:reshape : f32[batch,6,1,1] = reshape(%x) {shape=[batch,6,1,1]} @"a"
        output "y" = %a:reshape
        """,
    )


def test_a_transpose_that_moves_elements_stays() -> None:
    text = """
        data %x : f32[batch,1,6]
        %a : f32[6,1,batch] = transpose(%x) {permutation=[2,1,0]}
        output "y" = %a
        """
    assert check_unchanged(merge_transposes, text) == []
