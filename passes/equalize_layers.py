"""Cross-layer equalization: the same function from weights that quantize better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir import ops
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Op
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL
from kcompile.ir.ops.windows import channel_axis
from kcompile.passes.journal import record_change
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

Array = np.ndarray[Any, Any]
#: Chains of layers: each round evens out a neighbour more.
NUM_ROUNDS = 4
#: Scales stay within this of 1, so that a channel of almost nothing does not explode.
LARGEST_SCALE = 1e3


@dataclass
class _Layer:
    """A product with its weights as `[groups, outputs, inputs, elements]` of each group."""

    node: Node
    weight: Array
    bias: Array | None

    @property
    def output_ranges(self) -> Array:
        return np.asarray(np.abs(self.weight).max(axis=(2, 3)).ravel())

    @property
    def input_ranges(self) -> Array:
        return np.asarray(np.abs(self.weight).max(axis=(1, 3)).ravel())


def equalize_layers(graph: Graph) -> Graph:
    """`w2 relu(w1 x + b1) = (w2 s) relu((w1 / s) x + b1 / s)`, for s > 0 of each channel.

    With `s = sqrt(r1 / r2)` the ranges r1 of w1's output channels and r2 of w2's input channels
    become equal (Nagel et al., Data-Free Quantization Through Weight Equalization, 2019). The
    function between may be relu or nothing, and nothing else may use what is between.
    """
    layers = {
        node.output.name: _Layer(node, *arrays)
        for node in graph.nodes
        if (arrays := _arrays(node, graph)) is not None
    }
    pairs = [
        (layers[before], layer)
        for layer in layers.values()
        if (before := _layer_before(layer.node, graph)) in layers
    ]
    pairs = [
        (a, b)
        for a, b in pairs
        if len(a.output_ranges) == len(b.input_ranges)
        and _channel_axis(a.node) == _channel_axis(b.node)
    ]
    for _ in range(NUM_ROUNDS):
        for first, second in pairs:
            _equalize(first, second)
    changed = {layer.node.output.name: layer for pair in pairs for layer in pair}
    record_change("equalize_layers", len(pairs))

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        layer = changed.get(node.outputs[0].name)
        return None if layer is None else new.keep(node, (operands[0], *_weights(layer, new)))

    return rebuild(graph, transform) if pairs else graph


def _equalize(first: _Layer, second: _Layer) -> None:
    r1, r2 = first.output_ranges, second.input_ranges
    both = (r1 > 0) & (r2 > 0)
    scale = np.sqrt(np.divide(r1, r2, out=np.ones_like(r1), where=both))
    scale = np.clip(scale, 1 / LARGEST_SCALE, LARGEST_SCALE).astype(np.float32)
    groups, outputs, _, _ = first.weight.shape
    first.weight = first.weight / scale.reshape(groups, outputs, 1, 1)
    if first.bias is not None:
        first.bias = first.bias / scale
    groups, _, inputs, _ = second.weight.shape
    second.weight = second.weight * scale.reshape(groups, 1, inputs, 1)


def _channel_axis(node: Node) -> tuple[int, int]:
    """The rank of what a product reads, and makes, and the axis of the channels in both."""
    rank, op = node.output.type.rank, node.op
    return rank, channel_axis(rank, op.data_format) if isinstance(op, ops.Conv) else rank - 1


def _layer_before(node: Node, graph: Graph) -> str | None:
    """The value that a product reads, through a relu, where nothing else uses it."""
    x = node.inputs[0]
    while x is not None and graph.uses[x.name] == 1:
        producer = graph.producers.get(x.name)
        if producer is None or not isinstance(producer.op, ops.Relu):
            return x.name
        x = producer.inputs[0]
    return None


def _arrays(node: Node, graph: Graph) -> tuple[Array, Array | None] | None:
    """Weights in groups, and the bias, of a product with constants that has a place for both."""
    if not isinstance(node.op, ops.Conv | ops.Linear) or not _is_supported(node.op):
        return None
    constants = [_constant(value, graph) for value in node.inputs[1:]]
    if any(array is None or not array.size for array in constants):
        return None
    weight, *bias = constants
    assert weight is not None
    if isinstance(node.op, ops.Linear):
        grouped = weight.T[None, :, :, None]
    else:
        outputs, inputs, *_ = weight.shape
        grouped = weight.reshape(node.op.groups, outputs // node.op.groups, inputs, -1)
    return grouped, bias[0] if bias else None


def _is_supported(op: Op) -> bool:
    return not isinstance(op, ops.Conv) or op.kernel_format == OUTPUT_INPUT_SPATIAL


def _constant(value: Value | None, graph: Graph) -> Array | None:
    node = None if value is None else graph.producers.get(value.name)
    return node.op.value.array if node is not None and isinstance(node.op, ops.Constant) else None


def _weights(layer: _Layer, new: Rebuild) -> list[Value]:
    """The new weights as constants with the names of the old ones."""
    names = [value.name if value is not None else None for value in layer.node.inputs[1:]]
    shape = layer.node.inputs[1].type.static_shape if layer.node.inputs[1] is not None else ()
    is_linear = isinstance(layer.node.op, ops.Linear)
    weight = layer.weight[0, :, :, 0].T if is_linear else layer.weight.reshape(shape)
    arrays = [weight] if layer.bias is None else [weight, layer.bias]
    return [
        new.constant(np.ascontiguousarray(array, np.float32), name)
        for array, name in zip(arrays, names, strict=True)
    ]
