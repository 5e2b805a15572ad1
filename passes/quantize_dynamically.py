"""Dynamic quantization: products of integers whose ranges are found when they run."""

from __future__ import annotations

from collections.abc import Collection

from kcompile.ir import ops
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.types import DType
from kcompile.passes.constants import compute
from kcompile.passes.insert_quantization import (
    REDUCED_WEIGHT_LIMIT,
    WEIGHT_LIMIT,
    plan_quantization,
    quantize_weight,
)
from kcompile.passes.journal import record_change
from kcompile.passes.quantize_weights import is_table, quantized_table
from kcompile.passes.rebuild import Operands, Rebuild, rebuild


def dynamic_products(graph: Graph, exclude: Collection[str] = ()) -> tuple[Node, ...]:
    """The products of matrices that dynamic quantization changes; convolutions are none."""
    return tuple(
        node
        for node in plan_quantization(graph, exclude).products
        if not isinstance(node.op, ops.Conv) and node.output.type.rank >= 2
    )


def quantize_dynamically(
    graph: Graph, *, exclude: Collection[str] = (), reduce_range: bool = False
) -> Graph:
    """`x w = (q - zero_point) w_q * (scale * w_scale)` with `q, scale, zero_point` of each x.

    Tables that are only looked up in (embeddings) become integers with a scale for each column.

    Args:
        graph: at inference, after the passes for its target.
        exclude: layers that keep floats.
        reduce_range: whether weights get 7 bits, for processors that add products in 16 bits.
    """
    chosen = {node.output.name for node in dynamic_products(graph, exclude)}
    limit = REDUCED_WEIGHT_LIMIT if reduce_range else WEIGHT_LIMIT

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if is_table(node, new, operands, exclude):
            return quantized_table(node, operands, new)
        if node.outputs[0].name not in chosen:
            return None
        record_change("quantize_dynamically")
        return (_product(node, operands, new, limit),)

    return rebuild(graph, transform)


def _product(node: Node, operands: Operands, new: Rebuild, limit: int) -> Value:
    x, weight, *bias = operands
    assert x is not None and weight is not None
    array, scale = quantize_weight(compute(weight, new), 1, limit)
    w = new.constant(array, f"{weight.name}/quantized")
    w_scale = new.constant(scale, f"{weight.name}/scale")
    q, x_scale, zero_point = new.emit(ops.DynamicQuantize(), x, source=node.source)
    (total,) = new.emit(ops.IntegerMatmul(), q, w, zero_point, source=node.source)
    (wide,) = new.emit(ops.Cast(DType.FLOAT32), total, source=node.source)
    (both,) = new.emit(ops.Multiply(), x_scale, w_scale, source=node.source)
    (y,) = new.emit(ops.Multiply(), wide, both, name=node.output.name, source=node.source)
    if bias and bias[0] is not None:
        (y,) = new.emit(ops.Add(), y, bias[0], name=node.output.name, source=node.source)
    return y
