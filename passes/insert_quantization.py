"""Static quantization: integers between the layers that have kernels for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir import ops
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Node, Role, Value
from kcompile.ir.op import Op
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL
from kcompile.ir.types import DType
from kcompile.passes.constants import compute
from kcompile.passes.journal import record_change
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

Array = np.ndarray[Any, Any]
#: Scale and zero point of a value as u8, by its name.
Parameters = Mapping[str, tuple[float, int]]

#: Products with weights: what quantization is for.
PRODUCTS = (ops.Conv, ops.Linear, ops.Matmul)
#: Ops that move elements or leave some out: what they make has the scale of what they take.
MOVES = (ops.MaxPool, ops.Reshape, ops.Transpose, ops.Slice)
#: Ops on integers with scales of their own.
JOINS = (ops.Add, ops.Multiply, ops.Concatenate, ops.AveragePool, ops.Sigmoid, ops.LeakyRelu)
#: Ops that a quantization behind them does by saturating.
CLAMPS = (ops.Relu, ops.Clip)
#: Weights are symmetric, so that nothing is to be subtracted from them.
WEIGHT_LIMIT = 127
#: Of weights where two products with u8 are added in 16 bits: 2 * 255 * 64 < 2^15.
REDUCED_WEIGHT_LIMIT = 64
#: Biases stay below this; sums are added to them in i32.
BIAS_LIMIT = 2**30


@dataclass(frozen=True)
class Plan:
    """What is computed with integers. Values go by their names.

    Attributes:
        nodes: first results of the nodes that read integers.
        products: those of them that are products with weights.
        held: what is kept as integers, and read as such by all that use it.
        ranges: which value's range each value has that is quantized; most have their own.
    """

    nodes: frozenset[str]
    products: tuple[Node, ...]
    held: frozenset[str]
    ranges: Mapping[str, str]


def layer_of(node: Node) -> str:
    """The name by which a product is excluded and reported: its layer's, or its value's."""
    return node.source or node.outputs[0].name


def plan_quantization(graph: Graph, exclude: Collection[str] = ()) -> Plan:
    """What of a graph is computed with integers.

    Products with constant weights are, and between them what has kernels for integers, where
    that saves going to floats and back.

    Args:
        graph: at inference, after the passes for its target.
        exclude: layers, with all that is inside of them, that keep floats.
    """
    able = _able(graph, exclude)
    carried = _carried(graph, able)
    wanted = _wanted(graph, able, carried)
    return _plan(graph, able, carried & wanted)


def is_excluded(node: Node, exclude: Collection[str]) -> bool:
    """Whether a node is in one of these layers."""
    name = layer_of(node)
    return any(name == entry or name.startswith(f"{entry}/") for entry in exclude)


def _able(graph: Graph, exclude: Collection[str]) -> dict[str, Node]:
    """The nodes that could compute with integers, by their results."""
    return {
        node.outputs[0].name: node
        for node in graph.nodes
        if _is_product(node, graph)
        or (isinstance(node.op, (*MOVES, *JOINS, *CLAMPS)) and _all_single(node, graph))
        if not is_excluded(node, exclude)
    }


def _is_product(node: Node, graph: Graph) -> bool:
    if not isinstance(node.op, PRODUCTS) or node.output.type.dtype is not DType.FLOAT32:
        return False
    weight, *bias = (_constant(value, graph) for value in node.inputs[1:])
    if weight is None or not weight.size or any(array is None for array in bias):
        return False
    return isinstance(node.op, ops.Conv) or weight.ndim == 2


def _constant(value: Value | None, graph: Graph) -> Array | None:
    node = None if value is None else graph.producers.get(value.name)
    return node.op.value.array if node is not None and isinstance(node.op, ops.Constant) else None


def _all_single(node: Node, graph: Graph) -> bool:
    """Whether all operands are data in float32."""
    return all(
        value is not None and value.type.dtype is DType.FLOAT32 and _constant(value, graph) is None
        for value in node.inputs
    )


def _operands(node: Node) -> list[str]:
    """The operands that are data."""
    values = node.inputs[:1] if isinstance(node.op, PRODUCTS) else node.inputs
    return [value.name for value in values if value is not None]


def _carried(graph: Graph, able: Mapping[str, Node]) -> set[str]:
    """The values that can come as integers without being floats first."""
    data = graph.inputs_with(Role.DATA)
    carried = {entry.name for entry in data if entry.type.dtype is DType.FLOAT32}
    for name, node in able.items():
        if isinstance(node.op, PRODUCTS) or carried.issuperset(_operands(node)):
            carried.add(name)
    return carried


def _wanted(graph: Graph, able: Mapping[str, Node], carried: set[str]) -> set[str]:
    """The values that something reads as integers."""
    wanted: set[str] = set()
    for node in reversed(graph.nodes):
        name = node.outputs[0].name
        if name not in able:
            continue
        if isinstance(node.op, PRODUCTS) or (name in wanted and name in carried):
            wanted.update(_operands(node))
    return wanted


def _plan(graph: Graph, able: Mapping[str, Node], chosen: set[str]) -> Plan:
    clamps = {
        _operands(node)[0]: name
        for name, node in able.items()
        if isinstance(node.op, CLAMPS) and graph.uses[_operands(node)[0]] == 1
    }
    nodes, held, ranges = set[str](), set[str](), dict[str, str]()
    products = []
    for name, node in able.items():
        is_product = isinstance(node.op, PRODUCTS)
        is_clamp = isinstance(node.op, CLAMPS)
        if not is_product and name not in chosen and name not in held:
            continue
        if not is_clamp:
            nodes.add(name)
            for operand in _operands(node):
                ranges.setdefault(operand, operand)
        if is_product:
            products.append(node)
        if name in chosen or isinstance(node.op, ops.Conv) or name in held:
            end = clamps.get(name, name)
            held.discard(name)
            held.add(end)
            moved = isinstance(node.op, MOVES) and end == name
            ranges[end] = ranges[_operands(node)[0]] if moved else end
    return Plan(frozenset(nodes), tuple(products), frozenset(held), ranges)


def insert_quantization(
    graph: Graph,
    parameters: Parameters,
    *,
    exclude: Collection[str] = (),
    reduce_range: bool = False,
    means: Mapping[str, Array] | None = None,
) -> Graph:
    """`f(x, w) = dequantize(quantize(f(dequantize(quantize(x)), dequantize(q))))`.

    With activations as u8 with a scale each, weights as symmetric i8 with a scale for each output
    channel, and biases as i32, in the places where onnxruntime makes ops on integers of it.

    Args:
        graph: as for `plan_quantization`.
        parameters: of the values whose ranges the plan names.
        exclude: layers that keep floats.
        reduce_range: whether weights get 7 bits, for processors that add products in 16 bits.
        means: of each channel of what products read, by the value's name: what rounding the
            weights adds to the mean of a product's result is taken from its bias (Nagel et al.,
            Data-Free Quantization Through Weight Equalization, 2019).

    Raises:
        SpecError: a value has no parameters.
    """
    plan = plan_quantization(graph, exclude)
    inserter = _Inserter(plan, parameters, reduce_range, means or {})
    return rebuild(graph, inserter.transform)


class _Inserter:
    def __init__(
        self, plan: Plan, parameters: Parameters, reduce_range: bool, means: Mapping[str, Array]
    ) -> None:
        self.plan = plan
        self.parameters = parameters
        self.means = means
        self.weight_limit = REDUCED_WEIGHT_LIMIT if reduce_range else WEIGHT_LIMIT

    def transform(self, node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        name = node.outputs[0].name
        if name in self.plan.nodes:
            operands = self._read(node, operands, new)
            if isinstance(node.op, PRODUCTS):
                operands = self._with_weights(node, operands, new)
                record_change(f"quantize_{node.op.name}")
        elif name not in self.plan.held:
            return None
        results = new.keep(node, operands)
        if name not in self.plan.held:
            return results
        return (self._rounded(results[0], name, new),)

    def _read(self, node: Node, operands: Operands, new: Rebuild) -> Operands:
        """The operands as what their integers stand for."""
        data = set(_operands(node))
        return tuple(
            self._rounded(value, old.name, new)
            if value is not None
            and old is not None
            and old.name in data
            and old.name not in self.plan.held
            else value
            for old, value in zip(node.inputs, operands, strict=True)
        )

    def _scale_of(self, name: str) -> tuple[float, int]:
        key = self.plan.ranges[name]
        if key not in self.parameters:
            raise SpecError(f"there are no scale and zero point of %{key}", where=f"%{name}")
        return self.parameters[key]

    def _rounded(self, value: Value, name: str, new: Rebuild) -> Value:
        scale, zero_point = self._scale_of(name)
        key = self.plan.ranges[name]
        constants = (
            new.constant(np.float32(scale), f"{key}/scale"),
            new.constant(np.uint8(zero_point), f"{key}/zero_point"),
        )
        (q,) = new.emit(ops.Quantize(DType.UINT8), value, *constants, name=f"{name}/quantized")
        return new.emit(ops.Dequantize(), q, *constants, name=f"{name}/dequantized")[0]

    def _with_weights(self, node: Node, operands: Operands, new: Rebuild) -> Operands:
        x, weight, *rest = operands
        assert weight is not None and node.inputs[0] is not None
        x_scale = np.float32(self._scale_of(node.inputs[0].name)[0])
        if not rest or rest[0] is None:
            return x, self._weight(node, weight, 0.0, new)[0]
        bias, name = compute(rest[0], new), f"{layer_of(node)}/bias"
        in_integers = _adds_bias_in_integers(node)
        least = np.abs(bias) / (x_scale * BIAS_LIMIT) if in_integers else 0.0
        w, scale, error = self._weight(node, weight, least, new)
        bias = self._corrected(node, bias, error)
        if not in_integers:
            return x, w, new.constant(bias, name)
        scale = scale * x_scale
        whole = np.clip(np.rint(bias / scale), -BIAS_LIMIT, BIAS_LIMIT).astype(np.int32)
        constants = new.constant(whole, f"{name}/quantized"), new.constant(scale, f"{name}/scale")
        return x, w, new.emit(ops.Dequantize(0), *constants, name=name)[0]

    def _weight(
        self, node: Node, weight: Value, least: Array | float, new: Rebuild
    ) -> tuple[Value, Array, Array]:
        """What stands for the weights, the scales, and the errors of the weights."""
        array = compute(weight, new)
        op = ops.Dequantize(channel_axis_of_weight(node.op, array.ndim))
        assert op.axis is not None
        q, scale = quantize_weight(array, op.axis, self.weight_limit, least)
        constants = (
            new.constant(q, f"{weight.name}/quantized"),
            new.constant(scale, f"{weight.name}/scale"),
            new.constant(np.zeros(scale.shape, np.int8), f"{weight.name}/zero_point"),
        )
        (w,) = new.emit(op, *constants, name=f"{weight.name}/dequantized")
        return w, scale, op.reference(q, scale) - array

    def _corrected(self, node: Node, bias: Array, error: Array) -> Array:
        """The bias without what an error of the weights adds to the mean."""
        x = node.inputs[0]
        mean = self.means.get(x.name) if x is not None else None
        if mean is None:
            return bias
        return np.asarray(bias - _mean_of_product(node.op, mean, error), np.float32)


def _mean_of_product(op: Op, mean: Array, weight: Array) -> Array:
    """The mean of each output channel, without a bias and as if there were no padding."""
    if not isinstance(op, ops.Conv):
        return np.asarray(mean @ weight)
    if op.kernel_format != OUTPUT_INPUT_SPATIAL:
        weight = np.moveaxis(weight, (-1, -2), (0, 1))
    outputs, inputs = weight.shape[:2]
    sums = weight.reshape(op.groups, outputs // op.groups, inputs, -1).sum(axis=3)
    return np.asarray(np.einsum("goi,gi->go", sums, mean.reshape(op.groups, inputs)).ravel())


def channel_axis_of_weight(op: Op, rank: int) -> int:
    """The axis of output channels of the weights of a product."""
    return 0 if isinstance(op, ops.Conv) and op.kernel_format == OUTPUT_INPUT_SPATIAL else rank - 1


def _adds_bias_in_integers(node: Node) -> bool:
    """Convolutions and ONNX's Gemm do; a product of higher rank is a MatMul, with an addition."""
    return isinstance(node.op, ops.Conv) or node.output.type.rank == 2


def quantize_weight(
    array: Array, axis: int, limit: int, least: Array | float = 0.0
) -> tuple[Array, Array]:
    """Weights as integers in [-limit, limit], and a scale for each entry along an axis.

    Args:
        array: the weights.
        axis: of the output channels.
        limit: of the integers.
        least: of the scales.
    """
    others = tuple(i for i in range(array.ndim) if i != axis)
    scale = np.maximum(np.max(np.abs(array), axis=others) / limit, least).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1
    shape = [1] * array.ndim
    shape[axis] = -1
    q = np.clip(np.rint(array / scale.reshape(shape)), -limit, limit).astype(np.int8)
    return q, scale
