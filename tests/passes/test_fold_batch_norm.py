"""Tests of `fold_batch_norm`."""

import pytest

from kcompile.passes.eliminate_dead_values import eliminate_dead_values
from kcompile.passes.fold_batch_norm import fold_batch_norm
from kcompile.passes.fold_constants import fold_constants
from kcompile.passes.journal import recording
from tests.passes.helpers import assert_same_numbers, check, graph_of


def test_into_the_convolution_before() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,3,2]
        %conv/kernel : f32[2,2,2] = constant() {value=f32[2,2,2]<1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %c : f32[batch,3,2] = conv(%x, %conv/kernel) {strides=[1], padding="same", dilation=[1]} @"conv"
        %y : f32[batch,3,2] = batch_norm(%c, %mean, %variance, %gamma, %beta) @"bn"
        output "y" = %y
        """,  # noqa: E501
        """
        data %x : f32[batch,3,2]
        %conv/kernel : f32[2,2,2] = constant() {value=f32[2,2,2]<1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %bn:add : f32[2] = add(%variance, %constant) @"bn"
        %bn:rsqrt : f32[2] = rsqrt(%bn:add) @"bn"
        %bn:multiply : f32[2] = multiply(%bn:rsqrt, %gamma) @"bn"
        %bn:multiply_1 : f32[2] = multiply(%mean, %bn:multiply) @"bn"
        %conv/bias : f32[2] = subtract(%beta, %bn:multiply_1) @"bn"
        %bn:reshape : f32[1,1,2] = reshape(%bn:multiply) {shape=[1,1,2]} @"bn"
        %bn:multiply_2 : f32[2,2,2] = multiply(%conv/kernel, %bn:reshape) @"bn"
        %conv:conv : f32[batch,3,2] = conv(%x, %bn:multiply_2, %conv/bias) {strides=[1], padding="same", dilation=[1]} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_into_a_depthwise_convolution_channels_first_with_bias() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,2,3]
        %conv/kernel : f32[2,1,2] = constant() {value=f32[2,1,2]<1.0, 2.0, 3.0, 4.0>}
        %conv/bias : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %c : f32[batch,2,2] = conv(%x, %conv/kernel, %conv/bias) {strides=[1], padding=[[0,0]], dilation=[1], groups=2, data_format="channels_first", kernel_format="output_input_spatial"} @"conv"
        %y : f32[batch,2,2] = batch_norm(%c, %mean, %variance, _, %beta) {axis=1} @"bn"
        output "y" = %y
        """,  # noqa: E501
        """
        data %x : f32[batch,2,3]
        %conv/kernel : f32[2,1,2] = constant() {value=f32[2,1,2]<1.0, 2.0, 3.0, 4.0>}
        %conv/bias : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %bn:add : f32[2] = add(%variance, %constant) @"bn"
        %bn:rsqrt : f32[2] = rsqrt(%bn:add) @"bn"
        %bn:multiply : f32[2] = multiply(%mean, %bn:rsqrt) @"bn"
        %bn:subtract : f32[2] = subtract(%beta, %bn:multiply) @"bn"
        %bn:reshape : f32[2,1,1] = reshape(%bn:rsqrt) {shape=[2,1,1]} @"bn"
        %bn:multiply_1 : f32[2,1,2] = multiply(%conv/kernel, %bn:reshape) @"bn"
        %bn:multiply_2 : f32[2] = multiply(%conv/bias, %bn:rsqrt) @"bn"
        %bn:add_1 : f32[2] = add(%bn:multiply_2, %bn:subtract) @"bn"
        %conv:conv : f32[batch,2,2] = conv(%x, %bn:multiply_1, %bn:add_1) {strides=[1], padding=[[0,0]], dilation=[1], groups=2, data_format="channels_first", kernel_format="output_input_spatial"} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_into_the_product_before() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,2]
        %dense/kernel : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %c : f32[batch,2] = matmul(%x, %dense/kernel) @"dense"
        %y : f32[batch,2] = batch_norm(%c, %mean, %variance, %gamma) @"bn"
        output "y" = %y
        """,
        """
        data %x : f32[batch,2]
        %dense/kernel : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %bn:add : f32[2] = add(%variance, %constant) @"bn"
        %bn:rsqrt : f32[2] = rsqrt(%bn:add) @"bn"
        %bn:multiply : f32[2] = multiply(%bn:rsqrt, %gamma) @"bn"
        %bn:multiply_1 : f32[2] = multiply(%mean, %bn:multiply) @"bn"
        %dense/bias : f32[2] = negative(%bn:multiply_1) @"bn"
        %bn:reshape : f32[1,2] = reshape(%bn:multiply) {shape=[1,2]} @"bn"
        %bn:multiply_2 : f32[2,2] = multiply(%dense/kernel, %bn:reshape) @"bn"
        %dense:linear : f32[batch,2] = linear(%x, %bn:multiply_2, %dense/bias) @"dense"
        output "y" = %dense:linear
        """,
        tolerance=1e-05,
    )


def test_into_the_product_after() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,2]
        %dense/kernel : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %dense/bias : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %n : f32[batch,2] = batch_norm(%x, %mean, %variance, %gamma, %beta) @"bn"
        %y : f32[batch,2] = linear(%n, %dense/kernel, %dense/bias) @"dense"
        output "y" = %y
        """,
        """
        data %x : f32[batch,2]
        %dense/kernel : f32[2,2] = constant() {value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}
        %dense/bias : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %dense:add : f32[2] = add(%variance, %constant) @"dense"
        %dense:rsqrt : f32[2] = rsqrt(%dense:add) @"dense"
        %dense:multiply : f32[2] = multiply(%dense:rsqrt, %gamma) @"dense"
        %dense:multiply_1 : f32[2] = multiply(%mean, %dense:multiply) @"dense"
        %dense:subtract : f32[2] = subtract(%beta, %dense:multiply_1) @"dense"
        %shift : f32[2] = linear(%dense:subtract, %dense/kernel) @"dense"
        %dense:add_1 : f32[2] = add(%dense/bias, %shift) @"dense"
        %dense:reshape : f32[2,1] = reshape(%dense:multiply) {shape=[2,1]} @"dense"
        %dense:multiply_2 : f32[2,2] = multiply(%dense/kernel, %dense:reshape) @"dense"
        %dense:linear : f32[batch,2] = linear(%x, %dense:multiply_2, %dense:add_1) @"dense"
        output "y" = %dense:linear
        """,
        tolerance=1e-05,
    )


def test_into_the_grouped_convolution_after() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,3,2]
        %conv/kernel : f32[1,1,4] = constant() {value=f32[1,1,4]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %n : f32[batch,3,2] = batch_norm(%x, %mean, %variance, %gamma, %beta) @"bn"
        %y : f32[batch,3,4] = conv(%n, %conv/kernel) {strides=[1], padding="same", dilation=[1], groups=2} @"conv"
        output "y" = %y
        """,  # noqa: E501
        """
        data %x : f32[batch,3,2]
        %conv/kernel : f32[1,1,4] = constant() {value=f32[1,1,4]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %conv:add : f32[2] = add(%variance, %constant) @"conv"
        %conv:rsqrt : f32[2] = rsqrt(%conv:add) @"conv"
        %conv:multiply : f32[2] = multiply(%conv:rsqrt, %gamma) @"conv"
        %conv:multiply_1 : f32[2] = multiply(%mean, %conv:multiply) @"conv"
        %conv:subtract : f32[2] = subtract(%beta, %conv:multiply_1) @"conv"
        %conv:reshape : f32[2,1] = reshape(%conv:subtract) {shape=[2,1]} @"conv"
        %conv:transpose : f32[1,2] = transpose(%conv:reshape) {permutation=[1,0]} @"conv"
        %conv:reshape_1 : f32[1,2,1] = reshape(%conv:transpose) {shape=[1,2,1]} @"conv"
        %conv:reshape_2 : f32[1,1,2,2] = reshape(%conv/kernel) {shape=[1,1,2,2]} @"conv"
        %conv:multiply_2 : f32[1,1,2,2] = multiply(%conv:reshape_2, %conv:reshape_1) @"conv"
        %conv:reshape_3 : f32[1,1,4] = reshape(%conv:multiply_2) {shape=[1,1,4]} @"conv"
        %conv/bias : f32[4] = reduce_sum(%conv:reshape_3) {axes=[0,1]} @"conv"
        %conv:reshape_4 : f32[2,1] = reshape(%conv:multiply) {shape=[2,1]} @"conv"
        %conv:transpose_1 : f32[1,2] = transpose(%conv:reshape_4) {permutation=[1,0]} @"conv"
        %conv:reshape_5 : f32[1,2,1] = reshape(%conv:transpose_1) {shape=[1,2,1]} @"conv"
        %conv:multiply_3 : f32[1,1,2,2] = multiply(%conv:reshape_2, %conv:reshape_5) @"conv"
        %conv:reshape_6 : f32[1,1,4] = reshape(%conv:multiply_3) {shape=[1,1,4]} @"conv"
        %conv:conv : f32[batch,3,4] = conv(%x, %conv:reshape_6, %conv/bias) {strides=[1], padding="same", dilation=[1], groups=2} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_into_the_convolution_after_channels_first() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,2,3]
        %conv/kernel : f32[1,2,2] = constant() {value=f32[1,2,2]<1.0, 2.0, 3.0, 4.0>}
        %conv/bias : f32[1] = constant() {value=f32[1]<1.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %n : f32[batch,2,3] = batch_norm(%x, %mean, %variance, %gamma, %beta) {axis=1} @"bn"
        %y : f32[batch,1,2] = conv(%n, %conv/kernel, %conv/bias) {strides=[1], padding=[[0,0]], dilation=[1], data_format="channels_first", kernel_format="output_input_spatial"} @"conv"
        output "y" = %y
        """,  # noqa: E501
        """
        data %x : f32[batch,2,3]
        %conv/kernel : f32[1,2,2] = constant() {value=f32[1,2,2]<1.0, 2.0, 3.0, 4.0>}
        %conv/bias : f32[1] = constant() {value=f32[1]<1.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %gamma : f32[2] = constant() {value=f32[2]<2.0, 3.0>}
        %beta : f32[2] = constant() {value=f32[2]<1.0, 7.0>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %conv:add : f32[2] = add(%variance, %constant) @"conv"
        %conv:rsqrt : f32[2] = rsqrt(%conv:add) @"conv"
        %conv:multiply : f32[2] = multiply(%conv:rsqrt, %gamma) @"conv"
        %conv:multiply_1 : f32[2] = multiply(%mean, %conv:multiply) @"conv"
        %conv:subtract : f32[2] = subtract(%beta, %conv:multiply_1) @"conv"
        %conv:reshape : f32[1,1,2,1] = reshape(%conv:subtract) {shape=[1,1,2,1]} @"conv"
        %conv:reshape_1 : f32[1,1,2,2] = reshape(%conv/kernel) {shape=[1,1,2,2]} @"conv"
        %conv:multiply_2 : f32[1,1,2,2] = multiply(%conv:reshape_1, %conv:reshape) @"conv"
        %conv:reshape_2 : f32[1,2,2] = reshape(%conv:multiply_2) {shape=[1,2,2]} @"conv"
        %conv:reduce_sum : f32[1] = reduce_sum(%conv:reshape_2) {axes=[1,2]} @"conv"
        %conv:add_1 : f32[1] = add(%conv/bias, %conv:reduce_sum) @"conv"
        %conv:reshape_3 : f32[1,1,2,1] = reshape(%conv:multiply) {shape=[1,1,2,1]} @"conv"
        %conv:multiply_3 : f32[1,1,2,2] = multiply(%conv:reshape_1, %conv:reshape_3) @"conv"
        %conv:reshape_4 : f32[1,2,2] = reshape(%conv:multiply_3) {shape=[1,2,2]} @"conv"
        %conv:conv : f32[batch,1,2] = conv(%x, %conv:reshape_4, %conv:add_1) {strides=[1], padding=[[0,0]], dilation=[1], data_format="channels_first", kernel_format="output_input_spatial"} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_into_a_padded_convolution_after_when_nothing_is_shifted() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f32[batch,3,2]
        %conv/kernel : f32[2,2,1] = constant() {value=f32[2,2,1]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.0, 0.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %n : f32[batch,3,2] = batch_norm(%x, %mean, %variance) @"bn"
        %y : f32[batch,3,1] = conv(%n, %conv/kernel) {strides=[1], padding="same", dilation=[1]} @"conv"
        output "y" = %y
        """,  # noqa: E501
        """
        data %x : f32[batch,3,2]
        %conv/kernel : f32[2,2,1] = constant() {value=f32[2,2,1]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.0, 0.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %conv:add : f32[2] = add(%variance, %constant) @"conv"
        %conv:rsqrt : f32[2] = rsqrt(%conv:add) @"conv"
        %conv:multiply : f32[2] = multiply(%mean, %conv:rsqrt) @"conv"
        %conv:negative : f32[2] = negative(%conv:multiply) @"conv"
        %conv:reshape : f32[1,2] = reshape(%conv:negative) {shape=[1,2]} @"conv"
        %conv:transpose : f32[2,1] = transpose(%conv:reshape) {permutation=[1,0]} @"conv"
        %conv:reshape_1 : f32[2,1,1] = reshape(%conv:transpose) {shape=[2,1,1]} @"conv"
        %conv:reshape_2 : f32[2,2,1,1] = reshape(%conv/kernel) {shape=[2,2,1,1]} @"conv"
        %conv:multiply_1 : f32[2,2,1,1] = multiply(%conv:reshape_2, %conv:reshape_1) @"conv"
        %conv:reshape_3 : f32[2,2,1] = reshape(%conv:multiply_1) {shape=[2,2,1]} @"conv"
        %conv/bias : f32[1] = reduce_sum(%conv:reshape_3) {axes=[0,1]} @"conv"
        %conv:reshape_4 : f32[1,2] = reshape(%conv:rsqrt) {shape=[1,2]} @"conv"
        %conv:transpose_1 : f32[2,1] = transpose(%conv:reshape_4) {permutation=[1,0]} @"conv"
        %conv:reshape_5 : f32[2,1,1] = reshape(%conv:transpose_1) {shape=[2,1,1]} @"conv"
        %conv:multiply_2 : f32[2,2,1,1] = multiply(%conv:reshape_2, %conv:reshape_5) @"conv"
        %conv:reshape_6 : f32[2,2,1] = reshape(%conv:multiply_2) {shape=[2,2,1]} @"conv"
        %conv:conv : f32[batch,3,1] = conv(%x, %conv:reshape_6, %conv/bias) {strides=[1], padding="same", dilation=[1]} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_half_precision_is_folded_in_float32() -> None:
    check(
        fold_batch_norm,
        """
        data %x : f16[batch,2]
        %dense/kernel : f16[2,2] = constant() {value=f16[2,2]<1.0, 2.0, 3.0, 4.0>}
        %mean : f16[2] = constant() {value=f16[2]<0.5, -1.0>}
        %variance : f16[2] = constant() {value=f16[2]<4.0, 0.25>}
        %c : f16[batch,2] = matmul(%x, %dense/kernel) @"dense"
        %y : f16[batch,2] = batch_norm(%c, %mean, %variance) @"bn"
        output "y" = %y
        """,
        """
        data %x : f16[batch,2]
        %dense/kernel : f16[2,2] = constant() {value=f16[2,2]<1.0, 2.0, 3.0, 4.0>}
        %mean : f16[2] = constant() {value=f16[2]<0.5, -1.0>}
        %variance : f16[2] = constant() {value=f16[2]<4.0, 0.25>}
        %bn:cast : f32[2] = cast(%mean) {dtype=f32} @"bn"
        %bn:cast_1 : f32[2] = cast(%variance) {dtype=f32} @"bn"
        %constant : f32[] = constant() {value=f32[]<0.001>}
        %bn:add : f32[2] = add(%bn:cast_1, %constant) @"bn"
        %bn:rsqrt : f32[2] = rsqrt(%bn:add) @"bn"
        %bn:multiply : f32[2] = multiply(%bn:cast, %bn:rsqrt) @"bn"
        %dense/bias : f32[2] = negative(%bn:multiply) @"bn"
        %bn:cast_2 : f32[2,2] = cast(%dense/kernel) {dtype=f32} @"bn"
        %bn:reshape : f32[1,2] = reshape(%bn:rsqrt) {shape=[1,2]} @"bn"
        %bn:multiply_1 : f32[2,2] = multiply(%bn:cast_2, %bn:reshape) @"bn"
        %bn:cast_3 : f16[2,2] = cast(%bn:multiply_1) {dtype=f16} @"bn"
        %bn:cast_4 : f16[2] = cast(%dense/bias) {dtype=f16} @"bn"
        %dense:linear : f16[batch,2] = linear(%x, %bn:cast_3, %bn:cast_4) @"dense"
        output "y" = %dense:linear
        """,
        tolerance=0.01,
    )


def refusals_of(inputs: str, nodes: str) -> list[str]:
    """What is refused; nothing may be folded."""
    text = f"""
        {inputs}
        %mean : f32[2] = constant() {{value=f32[2]<0.5, -1.0>}}
        %variance : f32[2] = constant() {{value=f32[2]<4.0, 0.25>}}
        %w : f32[2,2] = constant() {{value=f32[2,2]<1.0, 2.0, 3.0, 4.0>}}
        %k : f32[2,2,1] = constant() {{value=f32[2,2,1]<1.0, 2.0, 3.0, 4.0>}}
        %l : f32[1,2,2] = constant() {{value=f32[1,2,2]<1.0, 2.0, 3.0, 4.0>}}
        {nodes}
        """
    graph = eliminate_dead_values(graph_of(text))
    with recording() as journal:
        assert fold_batch_norm(graph) is graph
    return [refusal.reason for refusal in journal.refusals]


def test_refuses_values_with_another_use() -> None:
    reasons = refusals_of(
        "data %x : f32[batch,2]",
        """
        %p : f32[batch,2] = matmul(%x, %w)
        %n : f32[batch,2] = batch_norm(%p, %mean, %variance)
        %q : f32[batch,2] = matmul(%n, %w)
        output "p" = %p
        output "n" = %n
        output "q" = %q
        """,
    )
    assert reasons == ["%p has other uses", "%n has other uses"]


def test_refuses_another_axis_after_a_convolution() -> None:
    reasons = refusals_of(
        "data %x : f32[batch,2,2]",
        """
        %c : f32[batch,2,2] = conv(%x, %l) {strides=[1], padding="same", dilation=[1]}
        %n : f32[batch,2,2] = batch_norm(%c, %mean, %variance) {axis=1}
        output "n" = %n
        """,
    )
    assert reasons == ["it normalizes axis 1, the channels are axis 2"]


def test_refuses_another_axis_before_a_convolution() -> None:
    reasons = refusals_of(
        "data %x : f32[batch,2,2]",
        """
        %n : f32[batch,2,2] = batch_norm(%x, %mean, %variance) {axis=1}
        %c : f32[batch,2,2] = conv(%n, %l) {strides=[1], padding="same", dilation=[1]}
        output "c" = %c
        """,
    )
    assert reasons == ["it normalizes axis 1, the channels are axis 2"]


def test_refuses_another_axis_beside_a_product() -> None:
    inputs = "data %x : f32[batch,2,2]"
    after = """
        %p : f32[batch,2,2] = matmul(%x, %w)
        %n : f32[batch,2,2] = batch_norm(%p, %mean, %variance) {axis=1}
        output "n" = %n
        """
    before = """
        %n : f32[batch,2,2] = batch_norm(%x, %mean, %variance) {axis=1}
        %p : f32[batch,2,2] = matmul(%n, %w)
        output "p" = %p
        """
    assert refusals_of(inputs, after) == ["it normalizes axis 1, the features are axis 2"]
    assert refusals_of(inputs, before) == ["it normalizes axis 1, the product sums axis 2"]


def test_refuses_a_stack_of_matrices() -> None:
    inputs = "data %x : f32[1,2,2]"
    after = """
        %p : f32[1,2,2] = matmul(%x, %l)
        %n : f32[1,2,2] = batch_norm(%p, %mean, %variance)
        output "n" = %n
        """
    before = """
        %n : f32[1,2,2] = batch_norm(%x, %mean, %variance)
        %p : f32[1,2,2] = matmul(%n, %l)
        output "p" = %p
        """
    assert refusals_of(inputs, after) == ["the weights are f32[1,2,2], not one matrix"]
    assert refusals_of(inputs, before) == ["the weights are f32[1,2,2], not one matrix"]


@pytest.mark.parametrize(("padding", "size"), [('"same"', 3), ("[[0,1]]", 3), ("[[1,0]]", 3)])
def test_refuses_a_shift_before_a_convolution_that_pads(padding: str, size: int) -> None:
    reasons = refusals_of(
        "data %x : f32[batch,3,2]",
        f"""
        %n : f32[batch,3,2] = batch_norm(%x, %mean, %variance)
        %c : f32[batch,{size},1] = conv(%n, %k) {{strides=[1], padding={padding}, dilation=[1]}}
        output "c" = %c
        """,
    )
    assert reasons == ["the convolution pads with zeros, which the shift would have to reach"]


def test_not_with_weights_that_are_not_known() -> None:
    reasons = refusals_of(
        """
        data %x : f32[batch,2]
        param %v : f32[2,2]
        state %moving : f32[2]
        """,
        """
        %p : f32[batch,2] = matmul(%x, %v)
        %n : f32[batch,2] = batch_norm(%p, %mean, %variance)
        %q : f32[batch,2] = matmul(%x, %w)
        %m : f32[batch,2] = batch_norm(%q, %moving, %variance)
        output "n" = %n
        output "m" = %m
        """,
    )
    assert reasons == []


def test_two_in_a_row_fold_into_one_convolution() -> None:
    graph = graph_of("""
        data %x : f32[batch,3,2]
        %l : f32[1,2,2] = constant() {value=f32[1,2,2]<1.0, 2.0, 3.0, 4.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %c : f32[batch,3,2] = conv(%x, %l) {strides=[1], padding="same", dilation=[1]} @"conv"
        %m : f32[batch,3,2] = batch_norm(%c, %mean, %variance)
        %n : f32[batch,3,2] = batch_norm(%m, %variance, %variance, %mean, %mean)
        output "n" = %n
        """)
    folded = fold_constants(fold_batch_norm(graph))
    assert [node.op.name for node in folded.nodes] == ["constant", "constant", "conv"]
    assert_same_numbers(graph, folded, tolerance=1e-5)


def test_groups_with_several_outputs_each() -> None:
    graph = graph_of("""
        data %x : f32[batch,3,2]
        %k : f32[1,1,6] = constant() {value=f32[1,1,6]<1.0, 2.0, 3.0, 4.0, 5.0, 6.0>}
        %mean : f32[2] = constant() {value=f32[2]<0.5, -1.0>}
        %variance : f32[2] = constant() {value=f32[2]<4.0, 0.25>}
        %n : f32[batch,3,2] = batch_norm(%x, %mean, %variance)
        %c : f32[batch,3,6] = conv(%n, %k) {strides=[1], padding="same", dilation=[1], groups=2}
        output "c" = %c
        """)
    folded = fold_constants(fold_batch_norm(graph))
    assert [node.op.name for node in folded.nodes] == ["constant", "constant", "conv"]
    assert_same_numbers(graph, folded, tolerance=1e-5)
