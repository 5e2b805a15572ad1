"""Smaller weights, which are floats again before they are used."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from kcompile.ir import ops
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Array, Op
from kcompile.ir.types import DType
from kcompile.passes.constants import compute
from kcompile.passes.insert_quantization import (
    PRODUCTS,
    WEIGHT_LIMIT,
    channel_axis_of_weight,
    is_excluded,
    quantize_weight,
)
from kcompile.passes.journal import record_change
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

#: Rows of a matrix of 4 bits that share a scale, in each column.
BLOCK = 32
#: Smaller ones are not worth the scales.
LEAST_ELEMENTS = 256


def quantize_weights(graph: Graph, *, exclude: Collection[str] = (), bits: int = 8) -> Graph:
    """`f(x, w) = f(x, scale * q)`, where q are integers.

    With 8 bits there is a scale for each output channel. With 4 bits, which matrices alone get,
    there is one for each `BLOCK` of elements of it. The products are not dequantizations, which
    onnxruntime would fuse with a product into an op that rounds activations as well.

    Args:
        graph: at inference, after the passes for its target.
        exclude: layers that keep floats.
        bits: 8 or 4.

    Raises:
        SpecError: it is another number of bits.
    """
    if bits not in (4, 8):
        raise SpecError(f"weights have 4 or 8 bits, not {bits}", where="weight_bits")

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if is_table(node, new, operands, exclude):
            return quantized_table(node, operands, new)
        if not isinstance(node.op, PRODUCTS) or is_excluded(node, exclude):
            return None
        x, weight, *bias = operands
        if weight is None or not _is_large(weight, new):
            return None
        record_change("quantize_weights")
        axis = channel_axis_of_weight(node.op, weight.type.rank)
        is_matrix = bits == 4 and weight.type.rank == 2
        w = _of_4_bits(weight, new) if is_matrix else _of_8_bits(weight, axis, new)
        return new.keep(node, (x, w, *bias))

    return rebuild(graph, transform)


def _of_8_bits(weight: Value, axis: int, new: Rebuild) -> Value:
    """`cast(q) * scale`."""
    array, scale = quantize_weight(compute(weight, new), axis, WEIGHT_LIMIT)
    shape = [1] * array.ndim
    shape[axis] = -1
    (wide,) = new.emit(
        ops.Cast(DType.FLOAT32), new.constant(array, f"{weight.name}/quantized"), name=weight.name
    )
    scales = new.constant(scale.reshape(shape), f"{weight.name}/scale")
    return new.emit(ops.Multiply(), wide, scales, name=weight.name)[0]


def _of_4_bits(weight: Value, new: Rebuild) -> Value:
    """`(nibbles - 8) * scale` in blocks of rows; the upper nibbles are the second half of them."""
    array = compute(weight, new)
    num_rows, num_columns = array.shape
    blocks = np.pad(array, ((0, -num_rows % BLOCK), (0, 0))).reshape(-1, BLOCK, num_columns)
    scale = (np.abs(blocks).max(axis=1, keepdims=True) / 7).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1
    nibbles = (np.clip(np.rint(blocks / scale), -8, 7) + 8).astype(np.uint8)
    low, high = np.split(nibbles.reshape(-1, num_columns), 2)

    def emit(op: Op, *operands: Value) -> Value:
        return new.emit(op, *operands, name=f"{weight.name}/{op.name}")[0]

    packed = new.constant(low | high << 4, f"{weight.name}/quantized")
    both = emit(ops.Cast(DType.FLOAT32), packed)
    sixteenth, sixteen = new.constant(np.float32(1 / 16)), new.constant(np.float32(16))
    upper = emit(ops.Floor(), emit(ops.Multiply(), both, sixteenth))
    lower = emit(ops.Subtract(), both, emit(ops.Multiply(), upper, sixteen))
    halves = emit(ops.Concatenate(0), lower, upper)
    rows = emit(ops.Reshape(blocks.shape), halves)
    centred = emit(ops.Subtract(), rows, new.constant(np.float32(8)))
    scaled = emit(ops.Multiply(), centred, new.constant(scale, f"{weight.name}/scale"))
    whole = emit(ops.Reshape((len(blocks) * BLOCK, num_columns)), scaled)
    if num_rows % BLOCK == 0:
        return whole
    return emit(ops.Slice((0, 0), (num_rows, num_columns), (1, 1)), whole)


def _is_large(value: Value, new: Rebuild) -> bool:
    node = new.producer(value)
    return (
        node is not None
        and isinstance(node.op, ops.Constant)
        and value.type.dtype is DType.FLOAT32
        and node.op.value.array.size >= LEAST_ELEMENTS
    )


def is_table(node: Node, new: Rebuild, operands: Operands, exclude: Collection[str]) -> bool:
    """Whether rows of a constant matrix are looked up."""
    return (
        isinstance(node.op, ops.Gather)
        and node.op.axis == 0
        and operands[0] is not None
        and operands[0].type.rank == 2
        and _is_large(operands[0], new)
        and not is_excluded(node, exclude)
    )


def quantized_table(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...]:
    """`gather(w, i) = dequantize(gather(q, i))`, with a scale for each column."""
    table, indices = operands
    assert table is not None
    record_change("quantize_table")
    array, scale = quantize_weight(compute(table, new), 1, WEIGHT_LIMIT)
    q = new.constant(array, f"{table.name}/quantized")
    (rows,) = new.emit(node.op, q, indices, name=f"{node.output.name}/quantized")
    scales = new.constant(scale, f"{table.name}/scale")
    axis = node.output.type.rank - 1
    return new.emit(ops.Dequantize(axis), rows, scales, name=node.output.name, source=node.source)


def narrowed_nodes(graph: Graph, dtype: DType) -> tuple[Node, ...]:
    """The nodes that read weights which `narrow_weights` writes with 16 bits."""
    names = {
        node.output.name
        for node in graph.nodes
        if isinstance(node.op, ops.Constant) and _narrowed(node.op.value.array, dtype) is not None
    }
    return tuple(
        node
        for node in graph.nodes
        if any(value is not None and value.name in names for value in node.inputs)
    )


def _narrowed(array: Array, dtype: DType) -> Array | None:
    """The array with 16 bits; None where it is small, or would lose more than digits."""
    if array.dtype != np.float32 or array.size < LEAST_ELEMENTS:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = array.astype(dtype.numpy)
        lost = np.abs(narrow.astype(np.float32) - array)
    if not np.array_equal(np.isfinite(narrow.astype(np.float32)), np.isfinite(array)):
        return None
    finite = np.isfinite(array)
    largest = np.max(np.abs(array[finite]), initial=0.0)
    return narrow if np.max(lost[finite], initial=0.0) <= 2**-7 * largest else None


def narrow_weights(graph: Graph, dtype: DType, *, exclude: Collection[str] = ()) -> Graph:
    """`w = cast(cast(w, dtype), float32)`: weights in the file have 16 bits, computing has 32.

    Args:
        graph: at inference, after the passes for its target.
        dtype: f16 or bf16; weights that f16 cannot hold stay as they are.
        exclude: names of layers whose weights stay as they are.
    """
    kept = {
        value.name
        for node in graph.nodes
        if is_excluded(node, exclude)
        for value in node.inputs
        if value is not None
    }

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if not isinstance(node.op, ops.Constant) or node.output.name in kept:
            return None
        narrow = _narrowed(node.op.value.array, dtype)
        if narrow is None:
            return None
        record_change("narrow_weights")
        name = node.output.name
        stored = new.constant(narrow, f"{name}/{dtype.keras_name}")
        return new.emit(ops.Cast(DType.FLOAT32), stored, name=name, source=node.source)

    return rebuild(graph, transform)
