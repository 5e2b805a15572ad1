"""Tests of `lay_out_channels_first`."""

from kcompile.passes.lay_out_channels_first import lay_out_channels_first
from tests.passes.helpers import check, check_unchanged


def test_conv_pool_and_batch_norm() -> None:
    check(
        lay_out_channels_first,
        """
        data %x : f32[batch,6,6,2]
        param %w : f32[3,3,1,4]
        param %b : f32[4]
        param %m : f32[4]
        param %variance : f32[4]
        %conv : f32[batch,6,6,4] = conv(%x, %w, %b) {strides=[1,1], padding="same", dilation=[1,1], groups=2} @"conv"
        %bn : f32[batch,6,6,4] = batch_norm(%conv, %m, %variance) @"bn"
        %max : f32[batch,3,3,4] = max_pool(%bn) {window=[2,2], strides=[2,2], padding=[[0,0],[0,0]]} @"max"
        %average : f32[batch,2,2,4] = average_pool(%max) {window=[2,2], strides=[2,2], padding="same"} @"average"
        output "y" = %average
        """,  # noqa: E501
        """
        data %x : f32[batch,6,6,2]
        param %w : f32[3,3,1,4]
        param %b : f32[4]
        param %m : f32[4]
        param %variance : f32[4]
        %conv:transpose : f32[batch,2,6,6] = transpose(%x) {permutation=[0,3,1,2]} @"conv"
        %conv:transpose_1 : f32[4,1,3,3] = transpose(%w) {permutation=[3,2,0,1]} @"conv"
        %conv:conv : f32[batch,4,6,6] = conv(%conv:transpose, %conv:transpose_1, %b) {strides=[1,1], padding="same", dilation=[1,1], groups=2, data_format="channels_first", kernel_format="output_input_spatial"} @"conv"
        %conv:transpose_2 : f32[batch,6,6,4] = transpose(%conv:conv) {permutation=[0,2,3,1]} @"conv"
        %bn:transpose : f32[batch,4,6,6] = transpose(%conv:transpose_2) {permutation=[0,3,1,2]} @"bn"
        %bn:batch_norm : f32[batch,4,6,6] = batch_norm(%bn:transpose, %m, %variance) {axis=1} @"bn"
        %bn:transpose_1 : f32[batch,6,6,4] = transpose(%bn:batch_norm) {permutation=[0,2,3,1]} @"bn"
        %max:transpose : f32[batch,4,6,6] = transpose(%bn:transpose_1) {permutation=[0,3,1,2]} @"max"
        %max:max_pool : f32[batch,4,3,3] = max_pool(%max:transpose) {window=[2,2], strides=[2,2], padding=[[0,0],[0,0]], data_format="channels_first"} @"max"
        %max:transpose_1 : f32[batch,3,3,4] = transpose(%max:max_pool) {permutation=[0,2,3,1]} @"max"
        %average:transpose : f32[batch,4,3,3] = transpose(%max:transpose_1) {permutation=[0,3,1,2]} @"average"
        %average:average_pool : f32[batch,4,2,2] = average_pool(%average:transpose) {window=[2,2], strides=[2,2], padding="same", data_format="channels_first"} @"average"
        %average:transpose_1 : f32[batch,2,2,4] = transpose(%average:average_pool) {permutation=[0,2,3,1]} @"average"
        output "y" = %average:transpose_1
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_only_the_kernel_of_a_channels_first_convolution() -> None:
    check(
        lay_out_channels_first,
        """
        data %x : f32[batch,2,6]
        param %w : f32[3,2,4]
        %conv : f32[batch,4,4] = conv(%x, %w) {strides=[1], padding=[[0,0]], dilation=[1], data_format="channels_first"} @"conv"
        output "y" = %conv
        """,  # noqa: E501
        """
        data %x : f32[batch,2,6]
        param %w : f32[3,2,4]
        %conv:transpose : f32[4,2,3] = transpose(%w) {permutation=[2,1,0]} @"conv"
        %conv:conv : f32[batch,4,4] = conv(%x, %conv:transpose) {strides=[1], padding=[[0,0]], dilation=[1], data_format="channels_first", kernel_format="output_input_spatial"} @"conv"
        output "y" = %conv:conv
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_channels_first_and_matrices_stay() -> None:
    text = """
        data %x : f32[batch,2,6]
        data %z : f32[batch,4]
        param %w : f32[4,2,3]
        param %m : f32[4]
        param %variance : f32[4]
        %conv : f32[batch,4,4] = conv(%x, %w) {strides=[1], padding=[[0,0]], dilation=[1], data_format="channels_first", kernel_format="output_input_spatial"}
        %bn : f32[batch,4,4] = batch_norm(%conv, %m, %variance) {axis=1}
        %dense : f32[batch,4] = batch_norm(%z, %m, %variance)
        output "y" = %bn
        output "z" = %dense
        """  # noqa: E501
    assert check_unchanged(lay_out_channels_first, text) == []
