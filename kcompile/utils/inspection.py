"""What each layer of a model or graph makes and costs.

One multiplication and one addition are two floating-point operations (FLOPs). Every element of an
element-wise function is one, whatever the function; moving elements costs none. Symbolic sizes
count as 1, so that numbers are for one sample.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kcompile.ir import ops
from kcompile.ir.dims import Size, substitute, symbols_of
from kcompile.ir.graph import Graph, Node, Role, Value
from kcompile.ir.op import Op
from kcompile.ir.types import TensorType
from kcompile.layers.base import Layer
from kcompile.models import Model, Sequential
from kcompile.ops.structure import leaves
from kcompile.ops.variable import Variable

#: maximum, subtraction, exponential, sum and division (or logarithm), for each element.
_SOFTMAX_FLOPS = 5
#: The row of what is computed between layers.
NO_LAYER = "(no layer)"


@dataclass
class LayerRow:
    """One layer.

    Attributes:
        name: the layer's name; for a graph the path of the layer that nodes come from.
        kind: the layer's class; for a graph the ops.
        output_shapes: of each result; None for a size that is not a number yet.
        num_parameters: elements of its weights; shared ones count where they are used first.
        flops: floating-point operations for one sample.
        output_bytes: size of the results for one sample.
    """

    name: str
    kind: str
    output_shapes: list[tuple[Any, ...]] = field(default_factory=list)
    num_parameters: int = 0
    flops: int = 0
    output_bytes: int = 0


def layer_table(source: Model | Graph) -> list[LayerRow]:
    """A row for each layer: of a model at inference, or of a graph as it is."""
    return _graph_rows(source) if isinstance(source, Graph) else _model_rows(source)


def _model_rows(model: Model) -> list[LayerRow]:
    graph = model.graph()
    structure: Any = model.functional if isinstance(model, Sequential) else model
    calls = set(getattr(structure, "call_nodes", ()))
    flops: dict[str, int] = {}
    for graph_node in graph.nodes:
        layer = graph_node.source.split("/")[0]
        flops[layer] = flops.get(layer, 0) + node_flops(graph_node)
    seen: set[Variable] = set()
    rows = []
    for operation in getattr(structure, "operations", structure.layers):
        nodes = [node for node in operation.nodes if node in calls] or operation.nodes[:1]
        tensors = [t for node in nodes for t in leaves(node.outputs) if t is not None]
        weights = [v for v in getattr(operation, "weights", ()) if v not in seen]
        seen.update(weights)
        rows.append(
            LayerRow(
                operation.name,
                type(operation).__name__ if isinstance(operation, Layer) else "function",
                [tensor.shape for tensor in tensors],
                sum(math.prod(variable.shape) for variable in weights),
                flops.pop(operation.name, 0),
                sum(num_bytes(tensor.type) for tensor in tensors),
            )
        )
    outside = sum(flops.values())
    return [*rows, LayerRow(NO_LAYER, "functions", flops=outside)] if outside else rows


def _graph_rows(graph: Graph) -> list[LayerRow]:
    groups: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if not isinstance(node.op, ops.Constant):
            groups.setdefault(node.source, []).append(node)
    weights = {entry.name for entry in graph.inputs_with(Role.PARAM, Role.STATE)}
    seen: set[str] = set()
    rows = []
    for source, nodes in groups.items():
        inside = {id(node) for node in nodes}
        used = _used_outside(graph, inside)
        results = [v for node in nodes for v in node.outputs if v.name in used]
        row = LayerRow(source or NO_LAYER, " ".join(node.op.name for node in nodes))
        row.output_shapes = [_shape(value.type) for value in results]
        row.output_bytes = sum(num_bytes(value.type) for value in results)
        row.flops = sum(map(node_flops, nodes))
        for value in (v for node in nodes for v in node.inputs if v is not None):
            if value.name not in seen and (value.name in weights or _is_weight(graph, value)):
                seen.add(value.name)
                row.num_parameters += num_elements(value.type)
        rows.append(row)
    return rows


def _is_weight(graph: Graph, value: Value) -> bool:
    """Whether it is a constant that was a weight: floating-point numbers, more than one."""
    node = graph.producers.get(value.name)
    if node is None or not isinstance(node.op, ops.Constant):
        return False
    return value.type.dtype.is_floating and num_elements(value.type) > 1


def _used_outside(graph: Graph, inside: set[int]) -> set[str]:
    used = {output.value.name for output in graph.outputs}
    used |= {update.value.name for update in graph.updates}
    for node in graph.nodes:
        if id(node) not in inside:
            used |= {value.name for value in node.inputs if value is not None}
    return used


def _shape(type: TensorType) -> tuple[int | str, ...]:
    return tuple(size if isinstance(size, int) else str(size) for size in type.shape)


def _number(size: Size) -> int:
    """A size for one sample: symbols are 1."""
    if isinstance(size, int):
        return size
    return max(0, int(substitute(size, dict.fromkeys(symbols_of(size), 1))))


def num_elements(type: TensorType) -> int:
    """The number of elements for one sample."""
    return math.prod(map(_number, type.shape))


def num_bytes(type: TensorType) -> int:
    """The size in bytes for one sample."""
    return num_elements(type) * type.dtype.numpy.itemsize


def node_flops(node: Node) -> int:
    """Floating-point operations of a node for one sample."""
    operands = [None if value is None else value.type for value in node.inputs]
    return op_flops(node.op, operands, [value.type for value in node.outputs])


Types = list[Any]


@functools.singledispatch
def op_flops(op: Op, operands: Types, results: Types) -> int:
    """Floating-point operations of an op: by default one for each element of the first result."""
    return num_elements(results[0])


def _register(function: Callable[[Any, Types, Types], int], *classes: type[Op]) -> None:
    for cls in classes:
        op_flops.register(cls, function)


def _free(op: Op, operands: Types, results: Types) -> int:
    return 0


_register(
    _free,
    ops.BroadcastTo,
    ops.Cast,
    ops.Concatenate,
    ops.Constant,
    ops.DimSize,
    ops.Gather,
    ops.GatherElements,
    ops.Iota,
    ops.OneHot,
    ops.Pad,
    ops.RandomUniform,
    ops.Reshape,
    ops.Reverse,
    ops.Slice,
    ops.StopGradient,
    ops.Tile,
    ops.Transpose,
    ops.Trilu,
    ops.Where,
)


def _multiply_add(results: Types, terms: int, bias: Any) -> int:
    """Sums of `terms` products for each element of the result, and the bias."""
    return num_elements(results[0]) * (2 * terms + (0 if bias is None else 1))


def _third(operands: Types) -> Any:
    return operands[2] if len(operands) > 2 else None


@op_flops.register
def _(op: ops.Conv, operands: Types, results: Types) -> int:
    kernel = operands[1].static_shape
    channels = kernel[-2] if op.kernel_format == "spatial_input_output" else kernel[1]
    terms = math.prod(op.window(kernel)) * channels
    return _multiply_add(results, terms, _third(operands))


@op_flops.register
def _(op: ops.ConvTranspose, operands: Types, results: Types) -> int:
    kernel = operands[1].static_shape
    outputs = kernel[op.output_channel_axis(len(kernel))]
    products = num_elements(operands[0]) * math.prod(op.window(kernel)) * outputs
    return 2 * products + (0 if _third(operands) is None else num_elements(results[0]))


@op_flops.register
def _(op: ops.Resize, operands: Types, results: Types) -> int:
    # Sums of the products with the elements that the kernel reaches, along one axis and another.
    taps = {"nearest": 0, "bilinear": 4, "bicubic": 8, "lanczos3": 12, "lanczos5": 20}
    return 2 * taps[op.method] * num_elements(results[0])


@op_flops.register
def _(op: ops.Linear, operands: Types, results: Types) -> int:
    return _multiply_add(results, _number(operands[0].shape[-1]), _third(operands))


@op_flops.register
def _(op: ops.Matmul, operands: Types, results: Types) -> int:
    return _multiply_add(results, _number(operands[0].shape[-1]), None)


@op_flops.register(ops.MaxPool)
@op_flops.register(ops.AveragePool)
def _(op: Any, operands: Types, results: Types) -> int:
    return num_elements(results[0]) * math.prod(op.window)


@op_flops.register
def _(op: ops.BatchNorm, operands: Types, results: Types) -> int:
    # The statistics and weights are one factor and one term for each channel.
    return 2 * num_elements(results[0])


@op_flops.register
def _(op: ops.BatchNormTraining, operands: Types, results: Types) -> int:
    # A sum for the mean; a difference, a square and a sum for the variance; factor and term.
    return 6 * num_elements(results[0])


@op_flops.register(ops.LayerNorm)
@op_flops.register(ops.GroupNorm)
def _(op: Any, operands: Types, results: Types) -> int:
    # As above with their own statistics, and with each of the two weights that there is.
    return (6 + sum(weight is not None for weight in operands[1:])) * num_elements(results[0])


@op_flops.register
def _(op: ops.RmsNorm, operands: Types, results: Types) -> int:
    # A square and a sum for the mean; the factor, and the weight.
    return (3 + len(operands[1:])) * num_elements(results[0])


@op_flops.register
def _(op: ops.Attention, operands: Types, results: Types) -> int:
    queries, keys, values = map(op.split, operands[:3])
    added = operands[3:]
    num_scores = num_elements(queries) // _number(queries.shape[3]) * _number(keys.shape[1])
    terms = 2 * (_number(queries.shape[3]) + _number(values.shape[3]))
    # The scale and the softmax; a bias; a mask is free.
    others = 1 + _SOFTMAX_FLOPS + int(bool(added) and added[0] is not None)
    return num_scores * (terms + others)


@op_flops.register(ops.Gru)
@op_flops.register(ops.Lstm)
@op_flops.register(ops.SimpleRnn)
def _(op: Any, operands: Types, results: Types) -> int:
    """Products with x and h, their sum with the bias, and a function for each gate and step."""
    terms = _number(operands[0].shape[-1]) + _number(operands[2].shape[0])
    return num_elements(results[0]) * op.num_gates * (2 * terms + 2)


@op_flops.register(ops.BidirectionalGru)
@op_flops.register(ops.BidirectionalLstm)
@op_flops.register(ops.BidirectionalRnn)
def _(op: Any, operands: Types, results: Types) -> int:
    """The same, where the results of both directions stand side by side."""
    return op_flops(op.direction(reverse=False), operands, results)


@op_flops.register(ops.Softmax)
@op_flops.register(ops.LogSoftmax)
def _(op: Any, operands: Types, results: Types) -> int:
    return _SOFTMAX_FLOPS * num_elements(results[0])


def _each_operand(op: Op, operands: Types, results: Types) -> int:
    return num_elements(operands[0])


_register(
    _each_operand,
    ops.Argmax,
    ops.Argmin,
    ops.ReduceMax,
    ops.ReduceMean,
    ops.ReduceMin,
    ops.ReduceProd,
    ops.ReduceSum,
    ops.TopK,
)


@op_flops.register
def _(op: ops.ScatterNd, operands: Types, results: Types) -> int:
    return 0 if op.reduction == "none" else num_elements(operands[2])


@op_flops.register
def _(op: ops.Scan, operands: Types, results: Types) -> int:
    return _number(operands[op.num_carries].shape[0]) * sum(map(node_flops, op.body.nodes))


@op_flops.register
def _(op: ops.CustomGradient, operands: Types, results: Types) -> int:
    return sum(map(node_flops, op.body.nodes))


@op_flops.register
def _(op: ops.While, operands: Types, results: Types) -> int:
    # One step: how many there are depends on values.
    return sum(map(node_flops, (*op.condition.nodes, *op.body.nodes)))


@op_flops.register
def _(op: ops.If, operands: Types, results: Types) -> int:
    branches = (op.then, op.otherwise)
    return max(sum(map(node_flops, branch.nodes)) for branch in branches)


def _crossentropy(op: Op, operands: Types, results: Types) -> int:
    return (_SOFTMAX_FLOPS + 2) * num_elements(operands[1])


_register(
    _crossentropy,
    ops.BinaryCrossentropy,
    ops.CategoricalCrossentropy,
    ops.SparseCategoricalCrossentropy,
)


def peak_activation_bytes(graph: Graph) -> int:
    """The most that inputs and results take at a time, in bytes for one sample.

    Nodes run in order; a result is held from the node that makes it to the last one that reads it,
    inputs all the time and outputs to the end. Weights do not count.
    """
    last_use: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        last_use |= {v.name: index for v in (*node.inputs, *node.outputs) if v is not None}
    last_use |= {output.value.name: len(graph.nodes) for output in graph.outputs}
    inputs = sum(num_bytes(entry.type) for entry in graph.inputs_with(Role.DATA))
    held: dict[str, int] = {}
    peak = inputs
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.op, ops.Constant):
            held |= {value.name: num_bytes(value.type) for value in node.outputs}
        peak = max(peak, inputs + sum(held.values()))
        held = {name: size for name, size in held.items() if last_use[name] > index}
    return peak


def total(rows: Iterable[LayerRow]) -> LayerRow:
    """The sums over rows."""
    result = LayerRow("total", "")
    for row in rows:
        result.num_parameters += row.num_parameters
        result.flops += row.flops
        result.output_bytes += row.output_bytes
    return result
