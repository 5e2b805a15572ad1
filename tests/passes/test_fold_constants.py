"""Tests of `fold_constants`."""

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.ops import Matmul, Multiply
from kcompile.ir.types import DType, TensorType
from kcompile.passes.fold_constants import fold_constants
from tests.passes.helpers import assert_same_numbers, check, check_unchanged


def test_weights_keep_their_path() -> None:
    check(
        fold_constants,
        """
        data %x : f32[batch,2]
        %dense/kernel : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %scale : f32[2] = constant() {value=f32[2]<2.0, 10.0>}
        %dense:multiply : f32[2,2] = multiply(%dense/kernel, %scale) @"dense"
        %dense:transpose : f32[2,2] = transpose(%dense:multiply) {permutation=[1,0]} @"dense"
        %dense:matmul : f32[batch,2] = matmul(%x, %dense:transpose) @"dense"
        output "y" = %dense:matmul
        """,
        """
        data %x : f32[batch,2]
        %dense/kernel : f32[2,2] = constant() {value=f32[2,2]<2.0, 6.0, 20.0, 40.0>} @"dense"
        %dense:matmul : f32[batch,2] = matmul(%x, %dense/kernel) @"dense"
        output "y" = %dense:matmul
        """,
    )


def test_the_original_keeps_its_name_when_it_is_used() -> None:
    check(
        fold_constants,
        """
        data %x : f32[batch,2]
        %k : f32[2] = constant() {value=f32[2]<2.0, 10.0>}
        %neg:negative : f32[2] = negative(%k) @"neg"
        %a : f32[batch,2] = multiply(%x, %k)
        %b : f32[batch,2] = add(%a, %neg:negative)
        output "y" = %b
        """,
        """
        data %x : f32[batch,2]
        %k : f32[2] = constant() {value=f32[2]<2.0, 10.0>}
        %k_1 : f32[2] = constant() {value=f32[2]<-2.0, -10.0>} @"neg"
        %a : f32[batch,2] = multiply(%x, %k)
        %b : f32[batch,2] = add(%a, %k_1)
        output "y" = %b
        """,
    )


def test_several_results() -> None:
    check(
        fold_constants,
        """
        data %x : f32[batch,2]
        %k : f32[2,2] = constant() {value=f32[2,2]<2.0, 10.0, 4.0, 20.0>}
        %bn:y : f32[2,2], %bn:mean : f32[2], %bn:variance : f32[2] = batch_norm_training(%k) @"bn"
        %a : f32[batch,2] = add(%x, %bn:mean)
        output "y" = %a
        """,
        """
        data %x : f32[batch,2]
        %k : f32[2] = constant() {value=f32[2]<3.0, 15.0>} @"bn"
        %a : f32[batch,2] = add(%x, %k)
        output "y" = %a
        """,
    )


def test_refuses_a_result_that_is_much_larger() -> None:
    text = """
        data %x : f32[64,64]
        %k : f32[64] = constant() {value=VALUES}
        %b : f32[64,64] = broadcast_to(%k) {shape=[64,64]}
        %a : f32[64,64] = add(%x, %b)
        output "y" = %a
        """.replace("VALUES", f"f32[64]<{', '.join(['1.5'] * 64)}>")
    reasons = check_unchanged(fold_constants, text)
    assert reasons == ["the result has 4096 elements, the operands 64"]


def test_folds_a_large_result_of_large_operands() -> None:
    builder = Builder("g")
    x = builder.input("x", TensorType(DType.FLOAT32, (64, 64)))
    weight = builder.constant(np.ones((64, 64), np.float32), name="dense/kernel")
    (scaled,) = builder.emit(Multiply(), weight, builder.constant(np.float32(3)))
    (product,) = builder.emit(Matmul(), x, scaled)
    graph = builder.finish([("y", product)])
    folded = fold_constants(graph)
    assert [node.op.name for node in folded.nodes] == ["constant", "matmul"]
    assert folded.nodes[0].output.name == "dense/kernel"
    assert_same_numbers(graph, folded)


def test_not_what_depends_on_inputs_or_chance() -> None:
    text = """
        data %x : f32[batch]
        rng %rng : u32[2]
        param %w : f32[]
        %a : f32[] = negative(%w)
        %b : f32[batch] = multiply(%x, %a)
        %c : f32[2] = random_uniform(%rng) {shape=[2], stream=1}
        output "b" = %b
        output "c" = %c
        """
    assert check_unchanged(fold_constants, text) == []


def test_not_random_numbers_of_a_known_key() -> None:
    text = """
        data %x : f32[2]
        %key : u32[2] = constant() {value=u32[2]<1, 2>}
        %c : f32[2] = random_uniform(%key) {shape=[2], stream=1}
        %d : f32[2] = add(%x, %c)
        output "y" = %d
        """
    assert check_unchanged(fold_constants, text) == []


def test_not_symbolic_sizes() -> None:
    text = """
        data %x : f32[batch]
        %one : f32[1] = constant() {value=f32[1]<1.0>}
        %b : f32[batch] = broadcast_to(%one) {shape=[batch]}
        %s : i32[] = dim_size() {size=batch}
        output "b" = %b
        output "s" = %s
        """
    assert check_unchanged(fold_constants, text) == []
