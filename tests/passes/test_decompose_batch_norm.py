"""Tests of `decompose_batch_norm`."""

from kcompile.passes.decompose_batch_norm import decompose_batch_norm
from tests.passes.helpers import check, check_unchanged


def test_last_axis() -> None:
    check(
        decompose_batch_norm,
        """
        data %x : f32[batch,time,2]
        param %mean : f32[2]
        param %variance : f32[2]
        param %gamma : f32[2]
        param %beta : f32[2]
        %y : f32[batch,time,2] = batch_norm(%x, %mean, %variance, %gamma, %beta) @"bn"
        output "y" = %y
        """,
        """
        data %x : f32[batch,time,2]
        param %mean : f32[2]
        param %variance : f32[2]
        param %gamma : f32[2]
        param %beta : f32[2]
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %bn:add : f32[2] = add(%variance, %constant) @"bn"
        %bn:rsqrt : f32[2] = rsqrt(%bn:add) @"bn"
        %bn:multiply : f32[2] = multiply(%bn:rsqrt, %gamma) @"bn"
        %bn:multiply_1 : f32[2] = multiply(%mean, %bn:multiply) @"bn"
        %bn:subtract : f32[2] = subtract(%beta, %bn:multiply_1) @"bn"
        %bn:reshape : f32[2] = reshape(%bn:multiply) {shape=[2]} @"bn"
        %bn:reshape_1 : f32[2] = reshape(%bn:subtract) {shape=[2]} @"bn"
        %bn:multiply_2 : f32[batch,time,2] = multiply(%x, %bn:reshape) @"bn"
        %bn:add_1 : f32[batch,time,2] = add(%bn:multiply_2, %bn:reshape_1) @"bn"
        output "y" = %bn:add_1
        """,
        tolerance=1e-05,
    )


def test_middle_axis_in_half_precision() -> None:
    check(
        decompose_batch_norm,
        """
        data %x : f16[batch,time,2,4]
        param %mean : f16[2]
        param %variance : f16[2]
        %y : f16[batch,time,2,4] = batch_norm(%x, %mean, %variance) {axis=2} @"bn"
        output "y" = %y
        """,
        """
        data %x : f16[batch,time,2,4]
        param %mean : f16[2]
        param %variance : f16[2]
        %bn:cast : f32[2] = cast(%mean) {dtype=f32} @"bn"
        %bn:cast_1 : f32[2] = cast(%variance) {dtype=f32} @"bn"
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %bn:add : f32[2] = add(%bn:cast_1, %constant) @"bn"
        %bn:rsqrt : f32[2] = rsqrt(%bn:add) @"bn"
        %bn:multiply : f32[2] = multiply(%bn:cast, %bn:rsqrt) @"bn"
        %bn:negative : f32[2] = negative(%bn:multiply) @"bn"
        %bn:cast_2 : f16[2] = cast(%bn:rsqrt) {dtype=f16} @"bn"
        %bn:reshape : f16[2,1] = reshape(%bn:cast_2) {shape=[2,1]} @"bn"
        %bn:cast_3 : f16[2] = cast(%bn:negative) {dtype=f16} @"bn"
        %bn:reshape_1 : f16[2,1] = reshape(%bn:cast_3) {shape=[2,1]} @"bn"
        %bn:multiply_1 : f16[batch,time,2,4] = multiply(%x, %bn:reshape) @"bn"
        %bn:add_1 : f16[batch,time,2,4] = add(%bn:multiply_1, %bn:reshape_1) @"bn"
        output "y" = %bn:add_1
        """,
        tolerance=0.01,
    )


def test_axis_one_stays() -> None:
    text = """
        data %x : f32[batch,2,4]
        data %z : f32[batch,2]
        param %mean : f32[2]
        param %variance : f32[2]
        %a : f32[batch,2,4] = batch_norm(%x, %mean, %variance) {axis=1}
        %b : f32[batch,2] = batch_norm(%z, %mean, %variance)
        output "a" = %a
        output "b" = %b
        """
    assert check_unchanged(decompose_batch_norm, text) == []
