"""Tests of `eliminate_common_subexpressions`."""

from kcompile.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from tests.passes.helpers import check, check_unchanged


def test_same_op_on_same_operands() -> None:
    check(
        eliminate_common_subexpressions,
        """
        data %x : f32[batch,4]
        %a : f32[batch,4] = relu(%x) @"a"
        %b : f32[batch,4] = relu(%x) @"b"
        %c : f32[batch,4] = add(%a, %b) @"c"
        output "y" = %c
        """,
        """
        data %x : f32[batch,4]
        %a : f32[batch,4] = relu(%x) @"a"
        %c : f32[batch,4] = add(%a, %a) @"c"
        output "y" = %c
        """,
    )


def test_equal_constants() -> None:
    check(
        eliminate_common_subexpressions,
        """
        data %x : f32[batch,2]
        %k : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %l : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %m : f32[2] = constant() {value=f32[2]<1.0, -2.0>}
        %a : f32[batch,2] = add(%x, %k)
        %b : f32[batch,2] = multiply(%a, %l)
        %c : f32[batch,2] = maximum(%b, %m)
        output "y" = %c
        """,
        """
        data %x : f32[batch,2]
        %k : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %m : f32[2] = constant() {value=f32[2]<1.0, -2.0>}
        %a : f32[batch,2] = add(%x, %k)
        %b : f32[batch,2] = multiply(%a, %k)
        %c : f32[batch,2] = maximum(%b, %m)
        output "y" = %c
        """,
    )


def test_draws_of_one_stream() -> None:
    check(
        eliminate_common_subexpressions,
        """
        data %x : f32[batch,4]
        rng %rng : u32[2]
        %a : f32[batch,4] = dropout(%x, %rng) {rate=0.5, stream=1}
        %b : f32[batch,4] = dropout(%x, %rng) {rate=0.5, stream=1}
        %c : f32[batch,4] = dropout(%x, %rng) {rate=0.5, stream=2}
        %d : f32[batch,4] = add(%a, %b)
        %e : f32[batch,4] = add(%d, %c)
        output "y" = %e
        """,
        """
        data %x : f32[batch,4]
        rng %rng : u32[2]
        %a : f32[batch,4] = dropout(%x, %rng) {rate=0.5, stream=1}
        %c : f32[batch,4] = dropout(%x, %rng) {rate=0.5, stream=2}
        %d : f32[batch,4] = add(%a, %a)
        %e : f32[batch,4] = add(%d, %c)
        output "y" = %e
        """,
    )


def test_different_attributes_stay() -> None:
    text = """
        data %x : f32[batch,4]
        %a : f32[batch,4] = softmax(%x) {axis=0}
        %b : f32[batch,4] = softmax(%x)
        %c : f32[batch,4] = add(%a, %b)
        output "y" = %c
        """
    assert check_unchanged(eliminate_common_subexpressions, text) == []


def test_zeros_of_both_signs_stay() -> None:
    text = """
        data %x : f32[batch]
        %k : f32[] = constant() {value=f32[]<0.0>}
        %l : f32[] = constant() {value=f32[]<-0.0>}
        %a : f32[batch] = add(%x, %k)
        %b : f32[batch] = add(%a, %l)
        output "y" = %b
        """
    assert check_unchanged(eliminate_common_subexpressions, text) == []
