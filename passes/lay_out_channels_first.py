"""Channels first, for targets whose kernels want it."""

from __future__ import annotations

import dataclasses

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Op
from kcompile.ir.ops import (
    AveragePool,
    BatchNorm,
    Conv,
    ConvTranspose,
    MaxPool,
    Resize,
    Transpose,
)
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL, SPATIAL_INPUT_OUTPUT
from kcompile.ir.ops.transposed import INPUT_OUTPUT_SPATIAL, SPATIAL_OUTPUT_INPUT
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST
from kcompile.passes.journal import record_change
from kcompile.passes.permutations import Permutation, to_channels_first, to_channels_last
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

#: Ops that have a data format.
_WINDOWS = AveragePool | Conv | ConvTranspose | MaxPool | Resize


def lay_out_channels_first(graph: Graph) -> Graph:
    """`op(x, channels_last) = transpose(op(transpose(x), channels_first))`.

    For convolutions, pooling, resizing and batch normalizations; kernels become
    output_input_spatial, those of transposed convolutions input_output_spatial.
    `push_transposes` takes away the transposes that are too many.
    """
    return rebuild(graph, _lay_out)


def _lay_out(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    x = operands[0] if operands else None
    if x is None:
        return None
    rank = x.type.rank
    was_last = _is_channels_last(node.op, rank)
    op = _channels_first(node.op) if was_last else node.op
    if was_last:
        x = _transposed(x, to_channels_first(rank), new, node)
    rest = list(operands[1:])
    if isinstance(op, Conv) and op.kernel_format == SPATIAL_INPUT_OUTPUT:
        op = dataclasses.replace(op, kernel_format=OUTPUT_INPUT_SPATIAL)
        rest[0] = _transposed(rest[0], _kernel_permutation(rank), new, node)
    elif isinstance(op, ConvTranspose) and op.kernel_format == SPATIAL_OUTPUT_INPUT:
        op = dataclasses.replace(op, kernel_format=INPUT_OUTPUT_SPATIAL)
        rest[0] = _transposed(rest[0], _kernel_permutation(rank), new, node)
    if op is node.op:
        return None
    record_change("lay_out_channels_first")
    (y,) = new.emit(op, x, *rest, source=node.source)
    return (_transposed(y, to_channels_last(rank), new, node) if was_last else y,)


def _is_channels_last(op: Op, rank: int) -> bool:
    if isinstance(op, _WINDOWS):
        return op.data_format == CHANNELS_LAST
    return isinstance(op, BatchNorm) and rank >= 3 and op.axis % rank == rank - 1


def _channels_first(op: Op) -> Op:
    if isinstance(op, _WINDOWS):
        return dataclasses.replace(op, data_format=CHANNELS_FIRST)
    assert isinstance(op, BatchNorm)
    return dataclasses.replace(op, axis=1)


def _kernel_permutation(rank: int) -> Permutation:
    """`[K..., I, O]` to `[O, I, K...]`, and `[K..., O, I]` to `[I, O, K...]`."""
    return (rank - 1, rank - 2, *range(rank - 2))


def _transposed(x: Value | None, permutation: Permutation, new: Rebuild, node: Node) -> Value:
    return new.emit(Transpose(permutation), x, source=node.source)[0]
