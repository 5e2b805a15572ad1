"""Tests of `eliminate_dead_values`."""

from kcompile.passes.eliminate_dead_values import eliminate_dead_values
from tests.passes.helpers import check, check_unchanged


def test_chain_and_weight() -> None:
    check(
        eliminate_dead_values,
        """
        data %x : f32[batch,4]
        data %unused : f32[batch]
        param %w : f32[4]
        param %v : f32[4]
        %a : f32[batch,4] = multiply(%x, %w)
        %b : f32[batch,4] = exp(%a)
        %c : f32[batch,4] = add(%x, %v)
        output "y" = %c
        """,
        """
        data %x : f32[batch,4]
        data %unused : f32[batch]
        param %v : f32[4]
        %c : f32[batch,4] = add(%x, %v)
        output "y" = %c
        """,
    )


def test_updates_keep_their_values() -> None:
    check(
        eliminate_dead_values,
        """
        data %x : f32[4]
        state %s : f32[4]
        state %t : f32[4]
        %a : f32[4] = add(%x, %s)
        update %s = %a
        """,
        """
        data %x : f32[4]
        state %s : f32[4]
        %a : f32[4] = add(%x, %s)
        update %s = %a
        """,
    )


def test_nothing_dead() -> None:
    text = """
        data %x : f32[batch,4]
        %a : f32[batch,4] = relu(%x)
        output "y" = %a
        """
    assert check_unchanged(eliminate_dead_values, text) == []


def test_one_live_result_keeps_the_node() -> None:
    text = """
        data %x : f32[batch,4]
        %y : f32[batch,4], %mean : f32[4], %variance : f32[4] = batch_norm_training(%x)
        output "mean" = %mean
        """
    assert check_unchanged(eliminate_dead_values, text) == []
