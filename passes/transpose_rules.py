"""How each op works on transposed operands: `op(transpose(x, p)) = transpose(op'(x), p')`.

A rule gives the results for a node, or None where the node should see its operands as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from kcompile.ir import ops
from kcompile.ir.graph import Node, Value
from kcompile.ir.op import Op
from kcompile.passes.permutations import (
    Permutation,
    compose,
    inverse,
    is_identity,
    moves_only_ones,
)
from kcompile.passes.rebuild import Operands, Rebuild

TransposeRule = Callable[[Node, Operands, Rebuild], tuple[Value, ...] | None]
_Entry = TypeVar("_Entry")


def peel(value: Value | None, new: Rebuild) -> tuple[Value, Permutation] | None:
    """x and p, where `value` is `transpose(x, p)` of something that is not a weight."""
    node = new.producer(value)
    if node is None or not isinstance(node.op, ops.Transpose) or new.is_fixed(node.output):
        return None
    (base,) = node.inputs
    return None if base is None else (base, node.op.permutation)


def transpose(value: Value, permutation: Permutation, new: Rebuild, source: str) -> Value:
    """`transpose(value, permutation)`, or what is the same and moves no elements."""
    if is_identity(permutation):
        return value
    return new.emit(ops.Transpose(permutation), value, source=source)[0]


def _permute(entries: tuple[_Entry, ...], permutation: Permutation) -> tuple[_Entry, ...]:
    """Entries for the axes of `transpose(x, permutation)`, put in the order of the axes of x."""
    return tuple(entries[axis] for axis in inverse(permutation))


# Operands in another order


def _is_single(value: Value) -> bool:
    return all(size == 1 for size in value.type.shape)


def _untransposed(value: Value, permutation: Permutation, new: Rebuild, source: str) -> Value:
    """x with `transpose(x, permutation) = value`, after value got leading axes of size 1."""
    if _is_single(value):
        return value
    peeled = peel(value, new)
    back = inverse(permutation)
    if peeled is not None and value.type.rank == len(permutation):
        return transpose(peeled[0], compose(peeled[1], back), new, source)
    shape = (1,) * (len(permutation) - value.type.rank) + value.type.shape
    moved = tuple(shape[axis] for axis in back)
    if moves_only_ones(back, shape):
        same = moved == value.type.shape
        return value if same else new.emit(ops.Reshape(moved), value, source=source)[0]
    if shape != value.type.shape:
        (value,) = new.emit(ops.Reshape(shape), value, source=source)
    return transpose(value, back, new, source)


def _cost_untransposed(value: Value, permutation: Permutation, new: Rebuild) -> int:
    """How many transposes `_untransposed` adds."""
    if new.is_fixed(value) or _is_single(value):
        return 0
    peeled = peel(value, new)
    if peeled is not None and value.type.rank == len(permutation):
        base, back = peeled[0], compose(peeled[1], inverse(permutation))
        if is_identity(back):
            return 0
    else:
        base, back = value, inverse(permutation)
    shape = (1,) * (len(permutation) - base.type.rank) + base.type.shape
    return int(not moves_only_ones(back, shape) and not _is_made(base, back, new))


def _cost_as_is(value: Value, new: Rebuild) -> int:
    """How many transposes stay because of `value`, if an op reads it as it is."""
    peeled = peel(value, new)
    if peeled is None or moves_only_ones(peeled[1], peeled[0].type.shape):
        return 0
    return int(not new.num_emitted_uses(value))


def _is_made(value: Value, permutation: Permutation, new: Rebuild) -> bool:
    """Whether some node needs `transpose(value, permutation)` anyway."""
    node = new.find(ops.Transpose(permutation), value)
    return node is not None and new.num_emitted_uses(node.output) > 0


def _best_order(rank: int, operands: Operands, new: Rebuild) -> Permutation | None:
    """The permutation that it costs least to take off all operands; None to leave them."""
    values = [value for value in operands if value is not None]
    peeled = [peel(value, new) for value in values if value.type.rank == rank]
    candidates = dict.fromkeys(entry[1] for entry in peeled if entry is not None)
    costs = {
        permutation: sum(_cost_untransposed(value, permutation, new) for value in values)
        for permutation in candidates
    }
    best = min(costs, key=costs.__getitem__, default=None)
    if best is None or costs[best] > sum(_cost_as_is(value, new) for value in values):
        return None
    return best


def _apply(
    op: Op, permutation: Permutation, node: Node, operands: Operands, new: Rebuild
) -> tuple[Value, ...]:
    """`op` on operands without their transpose, and the transpose behind it."""
    values = tuple(
        _untransposed(value, permutation, new, node.source) if value is not None else None
        for value in operands
    )
    (result,) = new.emit(op, *values, source=node.source)
    return (transpose(result, permutation, new, node.source),)


# The rules


def _elementwise(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """`f(transpose(a, p), transpose(b, p)) = transpose(f(a, b), p)`."""
    best = _best_order(node.output.type.rank, operands, new)
    return None if best is None else _apply(node.op, best, node, operands, new)


def _concatenate(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """The same, along axis `p[axis]`."""
    assert isinstance(node.op, ops.Concatenate)
    rank = node.output.type.rank
    best = _best_order(rank, operands, new)
    if best is None:
        return None
    op = ops.Concatenate(best[node.op.axis % rank])
    return _apply(op, best, node, operands, new)


def _along_axis(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """`f(transpose(x, p), axis) = transpose(f(x, p[axis]), p)`; other operands are vectors."""
    op = node.op
    assert isinstance(op, ops.Softmax | ops.LogSoftmax | ops.BatchNorm | ops.GroupNorm)
    peeled = peel(operands[0], new)
    if peeled is None:
        return None
    base, permutation = peeled
    moved = dataclasses.replace(op, axis=permutation[op.axis % base.type.rank])
    (result,) = new.emit(moved, base, *operands[1:], source=node.source)
    return (transpose(result, permutation, new, node.source),)


def _group_norm(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """The same, where samples stay the first axis."""
    peeled = peel(operands[0], new)
    return _along_axis(node, operands, new) if peeled is not None and peeled[1][0] == 0 else None


def _reduction(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """`f(transpose(x, p), axes) = transpose(f(x, p[axes]), p without axes)`."""
    peeled = peel(operands[0], new)
    if peeled is None:
        return None
    base, permutation = peeled
    rank, op = base.type.rank, node.op
    if isinstance(op, ops.Argmax | ops.Argmin):
        gone = {op.axis % rank}
        moved: Op = dataclasses.replace(op, axis=permutation[op.axis % rank])
    else:
        assert isinstance(op, REDUCTIONS)
        gone = {axis % rank for axis in op.axes}
        moved = dataclasses.replace(op, axes=tuple(sorted(permutation[axis] for axis in gone)))
    (result,) = new.emit(moved, base, source=node.source)
    if not op.keepdims:
        kept = [permutation[axis] for axis in range(rank) if axis not in gone]
        permutation = tuple(sorted(kept).index(axis) for axis in kept)
    return (transpose(result, permutation, new, node.source),)


def _moved_attributes(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """`f(transpose(x, p), attributes) = transpose(f(x, attributes in the order of x), p)`."""
    peeled = peel(operands[0], new)
    if peeled is None:
        return None
    base, permutation = peeled
    match node.op:
        case ops.Pad(widths, value):
            moved: Op = ops.Pad(_permute(widths, permutation), value)
        case ops.Slice(starts, limits, strides):
            moved = ops.Slice(
                _permute(starts, permutation),
                _permute(limits, permutation),
                _permute(strides, permutation),
            )
        case ops.BroadcastTo(shape) if len(shape) == base.type.rank:
            moved = ops.BroadcastTo(_permute(shape, permutation))
        case _:
            return None
    (result,) = new.emit(moved, base, source=node.source)
    return (transpose(result, permutation, new, node.source),)


def _quantization(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    """One scale for all elements; scales along an axis stay where they are."""
    op = node.op
    assert isinstance(op, ops.Quantize | ops.Dequantize | ops.FakeQuantize)
    return _elementwise(node, operands, new) if op.axis is None else None


REDUCTIONS = (ops.ReduceSum, ops.ReduceMean, ops.ReduceMax, ops.ReduceMin, ops.ReduceProd)
UNARY = (
    *(ops.Absolute, ops.Cast, ops.Ceil, ops.Clip, ops.Cos, ops.Erf, ops.Exp, ops.Expm1, ops.Floor),
    *(ops.IsFinite, ops.IsNan, ops.Log, ops.Log1p, ops.LogicalNot, ops.Negative, ops.Round),
    *(ops.Rsqrt, ops.Sign, ops.Sin, ops.Sqrt),
    *(ops.Acos, ops.Acosh, ops.Asin, ops.Asinh, ops.Atan, ops.Atanh, ops.Cosh, ops.Sinh, ops.Tan),
    *(ops.BitwiseNot, ops.IsInf, ops.StopGradient),
    *(ops.Elu, ops.Gelu, ops.HardSigmoid, ops.HardSwish, ops.LeakyRelu, ops.Relu, ops.Sigmoid),
    *(ops.Softplus, ops.Softsign, ops.Tanh),
)
BROADCASTING = (
    *(ops.Add, ops.Divide, ops.Maximum, ops.Minimum, ops.Multiply, ops.Power, ops.Remainder),
    *(ops.Equal, ops.Greater, ops.GreaterEqual, ops.Less, ops.LessEqual, ops.NotEqual),
    *(ops.LogicalAnd, ops.LogicalOr, ops.Subtract, ops.Where),
    *(ops.Atan2, ops.FloorDivide, ops.PRelu, ops.ShiftLeft, ops.ShiftRight),
    *(ops.BitwiseAnd, ops.BitwiseOr, ops.BitwiseXor),
)
#: Random ops are not here: which number an element gets depends on its place.
RULES: dict[type[Op], TransposeRule] = {
    **dict.fromkeys((*UNARY, *BROADCASTING), _elementwise),
    **dict.fromkeys((ops.Softmax, ops.LogSoftmax, ops.BatchNorm), _along_axis),
    **dict.fromkeys((*REDUCTIONS, ops.Argmax, ops.Argmin), _reduction),
    **dict.fromkeys((ops.Pad, ops.Slice, ops.BroadcastTo), _moved_attributes),
    **dict.fromkeys((ops.Quantize, ops.Dequantize, ops.FakeQuantize), _quantization),
    ops.Concatenate: _concatenate,
    ops.GroupNorm: _group_norm,
}
