"""Padding into the windows that run over it."""

from __future__ import annotations

import dataclasses

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import (
    Clip,
    Conv,
    HardSigmoid,
    MaxPool,
    Pad,
    Relu,
    Sigmoid,
    Softmax,
    Softplus,
    Transpose,
)
from kcompile.ir.ops.windows import spatial_axes
from kcompile.passes.pattern import ANY, Match, P, Refused, apply_rules, rule
from kcompile.passes.rebuild import Rebuild

_Pairs = tuple[tuple[int, int], ...]


def _zeros_around(match: Match, data_format: str, padding: str | _Pairs) -> _Pairs:
    """The padding of windows that run over what the pad is of.

    Raises:
        Refused: there is none.
    """
    op = match.op("pad", Pad)
    axes = spatial_axes(len(op.widths), data_format)
    if any(sum(pair) for axis, pair in enumerate(op.widths) if axis not in axes):
        raise Refused("it pads other axes than the spatial ones")
    if op.value != 0:
        raise Refused(f"it pads with {op.value:g}, and convolutions with 0")
    if isinstance(padding, str):
        raise Refused(f"the padding {padding!r} depends on the padded size")
    pairs = (op.widths[axis] for axis in axes)
    return tuple(
        (outer[0] + inner[0], outer[1] + inner[1])
        for outer, inner in zip(pairs, padding, strict=True)
    )


@rule(
    P(
        Conv,
        P(Pad, ANY("x"), name="pad"),
        *(ANY("w"), ANY("b", optional=True)),
        name="conv",
    )
)
def conv_of_pad(match: Match) -> Value:
    """`conv(pad(x, widths), padding) = conv(x, widths + padding)`, where it pads with zeros."""
    node, op = match.node("conv"), match.op("conv", Conv)
    padding = _zeros_around(match, op.data_format, op.padding)
    moved = dataclasses.replace(op, padding=padding)
    return match.emit(
        moved, match.value("x"), match.value("w"), match.optional("b"), source=node.source
    )


@rule(P(MaxPool, P(Pad, ANY("x"), name="pad"), name="pool"))
def max_pool_of_pad(match: Match) -> Value:
    """`max_pool(pad(x, widths), padding) = max_pool(x, widths + padding)` where x is not below 0.

    The zeros are then as little as the least number, which max_pool pads with: each window has an
    element of x in it.
    """
    node, op = match.node("pool"), match.op("pool", MaxPool)
    padding = _zeros_around(match, op.data_format, op.padding)
    if any(max(pair) >= window for pair, window in zip(padding, op.window, strict=True)):
        raise Refused("some windows would have padding alone")
    if not _is_nonnegative(match.value("x"), match.new):
        raise Refused("elements may be below the zeros that it pads with")
    return match.emit(
        dataclasses.replace(op, padding=padding), match.value("x"), source=node.source
    )


def _is_nonnegative(value: Value, new: Rebuild) -> bool:
    """Whether no element is below 0, as far as the op tells that makes it."""
    node = new.producer(value)
    if node is None:
        return False
    if isinstance(node.op, Transpose | MaxPool):
        assert node.inputs[0] is not None
        return _is_nonnegative(node.inputs[0], new)
    if isinstance(node.op, Clip):
        return node.op.minimum >= 0
    return isinstance(node.op, Relu | Sigmoid | HardSigmoid | Softmax | Softplus)


def fold_pad(graph: Graph) -> Graph:
    """`graph` with zeros around x as padding of the convolution or pooling that follows."""
    return apply_rules(graph, (conv_of_pad, max_pool_of_pad))
