"""Batch normalization into its linear neighbours.

`batch_norm(x) = x * scale + shift` with `scale = gamma / sqrt(variance + epsilon)` and
`shift = beta - mean * scale`, which are constants. The rules emit arithmetic on constants, in
float32 or better; `fold_constants` does the numbers.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.ops import (
    Add,
    BatchNorm,
    Cast,
    Conv,
    ConvTranspose,
    Linear,
    Matmul,
    Multiply,
    ReduceSum,
    Reshape,
    Transpose,
)
from kcompile.ir.ops.convolution import SPATIAL_INPUT_OUTPUT
from kcompile.ir.ops.windows import channel_axis
from kcompile.passes.affine import batch_norm_pattern, scale_and_shift, wide
from kcompile.passes.constants import compute
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, Refused, apply_rules, rule

_BIAS = CONSTANT("bias", optional=True)


def _bias_name(match: Match, node: Node) -> str | None:
    """The path of a bias that there was none of before; others are named by folding."""
    new = match.optional("bias") is None and node.source
    return f"{node.source}/bias" if new else None


def _along(match: Match, vector: Value, rank: int, axis: int) -> Value:
    """`[C]` so that it broadcasts along axis."""
    (size,) = vector.type.shape
    return match.emit(Reshape(tuple(size if i == axis else 1 for i in range(rank))), vector)


def _apply(match: Match, node: Node, x: Value, w: Value, bias: Value) -> Value:
    """The convolution or product of `node` on x with other weights, in the type of x."""
    if x.type.dtype is not w.type.dtype:
        w = match.emit(Cast(x.type.dtype), w)
        bias = match.emit(Cast(x.type.dtype), bias)
    op = Linear() if isinstance(node.op, Matmul) else node.op
    return match.emit(op, x, w, bias, source=node.source)


def _fold_into_previous(match: Match, node: Node, output_axis: int) -> Value:
    """`(x w + b) scale + shift = x (w scale) + (b scale + shift)`."""
    scale, shift = scale_and_shift(match, _bias_name(match, node))
    w, bias = wide(match, match.value("w")), match.optional("bias")
    w = match.emit(Multiply(), w, _along(match, scale, w.type.rank, output_axis))
    if bias is not None:
        shift = match.emit(Add(), match.emit(Multiply(), wide(match, bias), scale), shift)
    return _apply(match, node, match.value("x"), w, shift)


def _normalized_axis(match: Match) -> int:
    return match.op("norm", BatchNorm).axis % match.node("norm").output.type.rank


@rule(batch_norm_pattern(P(Conv, ANY("x"), CONSTANT("w"), _BIAS, name="conv")))
def batch_norm_of_conv(match: Match) -> Value:
    """`batch_norm(conv(x, w, b)) = conv(x, w * scale, b * scale + shift)`."""
    op, rank = match.op("conv", Conv), match.root.output.type.rank
    axis = channel_axis(rank, op.data_format)
    if _normalized_axis(match) != axis:
        raise Refused(f"it normalizes axis {_normalized_axis(match)}, the channels are axis {axis}")
    spatial_first = op.kernel_format == SPATIAL_INPUT_OUTPUT
    return _fold_into_previous(match, match.node("conv"), rank - 1 if spatial_first else 0)


@rule(batch_norm_pattern(P(ConvTranspose, ANY("x"), CONSTANT("w"), _BIAS, name="conv")))
def batch_norm_of_conv_transpose(match: Match) -> Value:
    """As `batch_norm_of_conv`, for a transposed convolution."""
    op, rank = match.op("conv", ConvTranspose), match.root.output.type.rank
    axis = channel_axis(rank, op.data_format)
    if _normalized_axis(match) != axis:
        raise Refused(f"it normalizes axis {_normalized_axis(match)}, the channels are axis {axis}")
    return _fold_into_previous(match, match.node("conv"), op.output_channel_axis(rank))


@rule(batch_norm_pattern(P((Matmul, Linear), ANY("x"), CONSTANT("w"), _BIAS, name="product")))
def batch_norm_of_product(match: Match) -> Value:
    """`batch_norm(x w + b) = x (w * scale) + (b * scale + shift)` for a matrix w."""
    _require_matrix(match)
    last = match.root.output.type.rank - 1
    if _normalized_axis(match) != last:
        raise Refused(f"it normalizes axis {_normalized_axis(match)}, the features are axis {last}")
    return _fold_into_previous(match, match.node("product"), 1)


def _require_matrix(match: Match) -> None:
    if match.value("w").type.rank != 2:
        raise Refused(f"the weights are {match.value('w').type}, not one matrix")


@rule(P((Matmul, Linear), batch_norm_pattern(ANY("x")), CONSTANT("w"), _BIAS, name="product"))
def product_of_batch_norm(match: Match) -> Value:
    """`batch_norm(x) w + b = x (scale * w) + (shift w + b)` for a matrix w."""
    _require_matrix(match)
    node, last = match.node("product"), match.value("x").type.rank - 1
    if _normalized_axis(match) != last:
        raise Refused(f"it normalizes axis {_normalized_axis(match)}, the product sums axis {last}")
    scale, shift = scale_and_shift(match)
    w, bias = wide(match, match.value("w")), match.optional("bias")
    shifted = match.emit(Linear(), shift, w, name=_bias_name(match, node) or "shift")
    if bias is not None:
        shifted = match.emit(Add(), wide(match, bias), shifted)
    w = match.emit(Multiply(), w, _along(match, scale, 2, 0))
    return _apply(match, node, match.value("x"), w, shifted)


@rule(P(Conv, batch_norm_pattern(ANY("x")), CONSTANT("w"), _BIAS, name="conv"))
def conv_of_batch_norm(match: Match) -> Value:
    """`conv(batch_norm(x), w, b) = conv(x, scale * w, sum of shift * w, + b)`.

    Not where the convolution pads: it pads with 0, not with what `batch_norm` would give 0 for.
    """
    node, op = match.node("conv"), match.op("conv", Conv)
    axis = channel_axis(node.output.type.rank, op.data_format)
    if _normalized_axis(match) != axis:
        raise Refused(f"it normalizes axis {_normalized_axis(match)}, the channels are axis {axis}")
    scale, shift = scale_and_shift(match)
    if _pads(op, match.value("w")) and np.any(compute(shift, match.new)):
        raise Refused("the convolution pads with zeros, which the shift would have to reach")
    w, bias = wide(match, match.value("w")), match.optional("bias")
    moved = _times_inputs(match, w, shift, op)
    moved = _sum_over_inputs(match, moved, op, _bias_name(match, node))
    if bias is not None:
        moved = match.emit(Add(), wide(match, bias), moved)
    return _apply(match, node, match.value("x"), _times_inputs(match, w, scale, op), moved)


def _pads(op: Conv, w: Value) -> bool:
    if isinstance(op.padding, str):
        return any(size != 1 for size in op.window(w.type.static_shape))
    return any(number for pair in op.padding for number in pair)


def _times_inputs(match: Match, w: Value, vector: Value, op: Conv) -> Value:
    """w with each element times the element of `vector` for its input channel.

    Output channels of group g see input channels of group g only, so that w is looked at as
    `[K..., I / G, G, O / G]` or `[G, O / G, I / G, K...]` and the vector as `[G, I / G]`.
    """
    shape, rank, groups = w.type.static_shape, w.type.rank, op.groups
    if op.kernel_format == SPATIAL_INPUT_OUTPUT:
        grouped = (*shape[:-1], groups, shape[-1] // groups)
        pairs = match.emit(Reshape((groups, shape[-2])), vector)
        per_input = match.emit(Transpose((1, 0)), pairs)
        broadcast: tuple[int, ...] = (shape[-2], groups, 1)
    else:
        grouped = (groups, shape[0] // groups, *shape[1:])
        per_input = vector
        broadcast = (groups, 1, shape[1], *(1,) * (rank - 2))
    factor = match.emit(Reshape(broadcast), per_input)
    product = match.emit(Multiply(), match.emit(Reshape(grouped), w), factor)
    return match.emit(Reshape(shape), product)


def _sum_over_inputs(match: Match, w: Value, op: Conv, name: str | None) -> Value:
    """The sum of w `[O]` over all but its output channels."""
    last = w.type.rank - 1
    output = last if op.kernel_format == SPATIAL_INPUT_OUTPUT else 0
    axes = tuple(axis for axis in range(last + 1) if axis != output)
    return match.emit(ReduceSum(axes), w, name=name)


RULES = (
    batch_norm_of_conv,
    batch_norm_of_conv_transpose,
    batch_norm_of_product,
    product_of_batch_norm,
    conv_of_batch_norm,
)


def fold_batch_norm(graph: Graph) -> Graph:
    """`graph` with batch normalizations folded into convolutions and products beside them."""
    return apply_rules(graph, RULES)
