"""From a node of ONNX to our ops: what its outputs are by the references of ours.

An importer gives the outputs, or raises `NotHeld` where no op of ours has these attributes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from kcompile.ir import ops
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import Op, evaluate, infer_types
from kcompile.ir.types import DType, TensorType
from tests.onnx_nodes.collecting import Array, NodeTest

Importer = Callable[..., Any]


class NotHeld(Exception):
    """No op of ours computes this node."""


def run(op: Op, *operands: Array | None) -> Any:
    """The result of our op, or a tuple of them; its type rule is held against the arrays."""
    types = tuple(None if x is None else TensorType.of(x) for x in operands)
    results = evaluate(op, operands)
    assert tuple(map(TensorType.of, results)) == infer_types(op, types)
    return results[0] if len(results) == 1 else results


def require(condition: Any, reason: str) -> None:
    if not condition:
        raise NotHeld(reason)


#: Ops that are one of ours, with no attributes.
PLAIN: dict[str, Op] = {
    "Abs": ops.Absolute(),
    "Acos": ops.Acos(),
    "Acosh": ops.Acosh(),
    "Add": ops.Add(),
    "And": ops.LogicalAnd(),
    "Asin": ops.Asin(),
    "Asinh": ops.Asinh(),
    "Atan": ops.Atan(),
    "Atanh": ops.Atanh(),
    "BitwiseAnd": ops.BitwiseAnd(),
    "BitwiseNot": ops.BitwiseNot(),
    "BitwiseOr": ops.BitwiseOr(),
    "BitwiseXor": ops.BitwiseXor(),
    "Ceil": ops.Ceil(),
    "Cos": ops.Cos(),
    "Cosh": ops.Cosh(),
    "Equal": ops.Equal(),
    "Erf": ops.Erf(),
    "Exp": ops.Exp(),
    "Floor": ops.Floor(),
    "Greater": ops.Greater(),
    "GreaterOrEqual": ops.GreaterEqual(),
    "HardSwish": ops.HardSwish(),
    "IsNaN": ops.IsNan(),
    "Less": ops.Less(),
    "LessOrEqual": ops.LessEqual(),
    "Log": ops.Log(),
    "Mul": ops.Multiply(),
    "Neg": ops.Negative(),
    "Not": ops.LogicalNot(),
    "Or": ops.LogicalOr(),
    "PRelu": ops.PRelu(),
    "Relu": ops.Relu(),
    "Round": ops.Round(),
    "Sigmoid": ops.Sigmoid(),
    "Sign": ops.Sign(),
    "Sin": ops.Sin(),
    "Sinh": ops.Sinh(),
    "Softplus": ops.Softplus(),
    "Softsign": ops.Softsign(),
    "Sqrt": ops.Sqrt(),
    "Sub": ops.Subtract(),
    "Tan": ops.Tan(),
    "Tanh": ops.Tanh(),
    "Where": ops.Where(),
    "Xor": ops.NotEqual(),
}
IMPORTERS: dict[str, Importer] = {}


def imports(*op_types: str) -> Callable[[Importer], Importer]:
    """Decorator: enter an importer, called with the test's inputs and attributes."""

    def register(importer: Importer) -> Importer:
        for op_type in op_types:
            assert op_type not in IMPORTERS and op_type not in PLAIN
            IMPORTERS[op_type] = importer
        return importer

    return register


def outputs_of(test: NodeTest) -> tuple[Array, ...]:
    """The outputs by our references.

    Raises:
        NotHeld: none of our ops computes it.
    """
    if test.op_type in PLAIN:
        results = run(PLAIN[test.op_type], *test.inputs)
    else:
        results = IMPORTERS[test.op_type](test, *test.inputs, **test.attributes)
    return results if isinstance(results, tuple) else (results,)


def dtype_of(element_type: int) -> DType:
    try:
        return DType.of(onnx.helper.tensor_dtype_to_np_dtype(element_type))
    except ShapeError:
        raise NotHeld("an element type that no tensor of ours has") from None


# Arithmetic


@imports("Max", "Min", "Sum")
def _fold(test: NodeTest, first: Array, *rest: Array) -> Array:
    op = {"Max": ops.Maximum(), "Min": ops.Minimum(), "Sum": ops.Add()}[test.op_type]
    for other in rest:
        first = run(op, first, other)
    return first


@imports("Div")
def _div(test: NodeTest, a: Array, b: Array) -> Array:
    require(a.dtype.kind != "i" or (np.all(a >= 0) and np.all(b > 0)), "truncating division")
    return run(ops.Divide() if a.dtype.kind == "f" else ops.FloorDivide(), a, b)


@imports("Mod")
def _mod(test: NodeTest, a: Array, b: Array, fmod: int = 0) -> Array:
    require(not fmod or np.all(np.sign(a) == np.sign(b)), "C's fmod of unlike signs")
    return run(ops.Remainder(), a, b)


@imports("Pow")
def _pow(test: NodeTest, a: Array, b: Array) -> Array:
    require(a.dtype == b.dtype, "powers of two element types")
    return run(ops.Power(), a, b)


@imports("Reciprocal")
def _reciprocal(test: NodeTest, x: Array) -> Array:
    return run(ops.Divide(), x.dtype.type(1), x)


@imports("BitShift")
def _shift(test: NodeTest, a: Array, b: Array, direction: bytes) -> Array:
    return run(ops.ShiftLeft() if direction == b"LEFT" else ops.ShiftRight(), a, b)


@imports("Clip")
def _clip(test: NodeTest, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    limits = np.iinfo(x.dtype) if x.dtype.kind in "iu" else None
    least, most = (limits.min, limits.max) if limits else (-math.inf, math.inf)
    return run(
        ops.Clip(
            float(least if low is None else low.item()),
            float(most if high is None else high.item()),
        ),
        x,
    )


@imports("Cast")
def _cast(test: NodeTest, x: Array, to: int, **attributes: Any) -> Array:
    try:
        DType.of(x.dtype)
    except ShapeError:
        raise NotHeld("an element type that no tensor of ours has") from None
    dtype = dtype_of(to)
    require(DType.STRING not in (dtype, DType.of(x.dtype)), "strings")
    return run(ops.Cast(dtype), x)


@imports("IsInf")
def _is_inf(test: NodeTest, x: Array, detect_positive: int = 1, detect_negative: int = 1) -> Array:
    require(detect_positive and detect_negative, "infinities of one sign")
    return run(ops.IsInf(), x)


# Activations


@imports("Elu")
def _elu(test: NodeTest, x: Array, alpha: float = 1.0) -> Array:
    return run(ops.Elu(alpha), x)


@imports("LeakyRelu")
def _leaky_relu(test: NodeTest, x: Array, alpha: float = 0.01) -> Array:
    return run(ops.LeakyRelu(alpha), x)


@imports("HardSigmoid")
def _hard_sigmoid(test: NodeTest, x: Array, alpha: float = 0.2, beta: float = 0.5) -> Array:
    """With our slope, by scaling what goes in."""
    slope, offset = x.dtype.type(alpha * 6), x.dtype.type((beta - 0.5) * 6)
    return run(ops.HardSigmoid(), run(ops.Add(), run(ops.Multiply(), x, slope), offset))


@imports("Gelu")
def _gelu(test: NodeTest, x: Array, approximate: bytes = b"none") -> Array:
    return run(ops.Gelu(approximate == b"tanh"), x)


@imports("Softmax", "LogSoftmax")
def _softmax(test: NodeTest, x: Array, axis: int = -1) -> Array:
    return run((ops.Softmax if test.op_type == "Softmax" else ops.LogSoftmax)(axis), x)


# Reductions and order


@imports("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
def _reduce(
    test: NodeTest,
    x: Array,
    axes: Array | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    require(x.dtype.kind != "b", "extrema of bools")
    over = () if axes is None else tuple(axes.tolist())
    if not over and not noop_with_empty_axes:
        over = tuple(range(x.ndim))
    over = tuple(axis % x.ndim for axis in over)
    return run(getattr(ops, test.op_type)(over, bool(keepdims)), x)


@imports("ArgMax", "ArgMin")
def _arg(
    test: NodeTest, x: Array, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Array:
    require(not select_last_index, "the last of equal elements")
    kind = ops.Argmax if test.op_type == "ArgMax" else ops.Argmin
    return run(kind(axis, bool(keepdims), DType.INT64), x)


@imports("CumSum")
def _cum_sum(test: NodeTest, x: Array, axis: Array, exclusive: int = 0, reverse: int = 0) -> Array:
    return run(ops.CumSum(int(axis.item()), bool(exclusive), bool(reverse)), x)


@imports("TopK")
def _top_k(
    test: NodeTest, x: Array, k: Array, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Array, ...]:
    return run(ops.TopK(int(k.item()), axis, bool(largest), DType.INT64), x)


# Products


@imports("MatMul")
def _matmul(test: NodeTest, a: Array, b: Array) -> Array:
    require(a.ndim >= 2 and b.ndim >= 2, "products of vectors")
    return run(ops.Matmul(), a, b)


@imports("Gemm")
def _gemm(
    test: NodeTest,
    a: Array,
    b: Array,
    c: Array | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    a = run(ops.Transpose((1, 0)), a) if transA else a
    b = run(ops.Transpose((1, 0)), b) if transB else b
    is_bias = c is not None and c.shape == b.shape[1:] and alpha == beta == 1
    if is_bias:
        return run(ops.Linear(), a, b, c)
    y = run(ops.Multiply(), run(ops.Linear(), a, b), a.dtype.type(alpha))
    return y if c is None else run(ops.Add(), y, run(ops.Multiply(), c, c.dtype.type(beta)))


# Quantization


@imports("QuantizeLinear")
def _quantize(
    test: NodeTest, x: Array, scale: Array, zero: Array | None = None, axis: int = 1, **others: Any
) -> Array:
    require(not others, "blocks, and types by attribute")
    require(zero is not None and zero.dtype in (np.int8, np.uint8), "a type that is not 8 bits")
    return run(ops.Quantize(DType.of(zero.dtype), axis if scale.ndim else None), x, scale, zero)


@imports("DequantizeLinear")
def _dequantize(
    test: NodeTest, q: Array, scale: Array, zero: Array | None = None, axis: int = 1, **others: Any
) -> Array:
    require(not others, "blocks, and types by attribute")
    require(q.dtype in (np.int8, np.uint8, np.int32), "a type that is not 8 bits")
    return run(ops.Dequantize(axis if scale.ndim else None), q, scale, zero)


@imports("DynamicQuantizeLinear")
def _dynamic_quantize(test: NodeTest, x: Array) -> tuple[Array, ...]:
    return run(ops.DynamicQuantize(), x)


@imports("MatMulInteger")
def _matmul_integer(
    test: NodeTest, a: Array, b: Array, zero_a: Array | None = None, zero_b: Array | None = None
) -> Array:
    """Our b is i8; here it is u8 with a zero point, and small."""
    shifted = b.astype(np.int16) - (0 if zero_b is None else zero_b)
    require(zero_a is not None and np.all(np.abs(shifted) < 128), "no zero point")
    return run(ops.IntegerMatmul(), a, shifted.astype(np.int8), np.asarray(zero_a.item(), a.dtype))
