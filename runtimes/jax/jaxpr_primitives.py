"""Primitives of JAX that compute each element by itself, reduce, or order."""

from __future__ import annotations

import functools
import string
from typing import Any

import jax
import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit
from kcompile.runtimes.jax.jaxpr_sizes import size_of
from kcompile.runtimes.jax.jaxpr_table import Equation, imports

_FLOATS: dict[str, type[Op]] = {
    "acos": ir.Acos,
    "acosh": ir.Acosh,
    "asin": ir.Asin,
    "asinh": ir.Asinh,
    "atan": ir.Atan,
    "atan2": ir.Atan2,
    "atanh": ir.Atanh,
    "ceil": ir.Ceil,
    "cos": ir.Cos,
    "cosh": ir.Cosh,
    "div": ir.Divide,
    "erf": ir.Erf,
    "exp": ir.Exp,
    "expm1": ir.Expm1,
    "floor": ir.Floor,
    "is_finite": ir.IsFinite,
    "log": ir.Log,
    "log1p": ir.Log1p,
    "logistic": ir.Sigmoid,
    "pow": ir.Power,
    "rsqrt": ir.Rsqrt,
    "sin": ir.Sin,
    "sinh": ir.Sinh,
    "sqrt": ir.Sqrt,
    "tan": ir.Tan,
    "tanh": ir.Tanh,
}
_ANY: dict[str, type[Op]] = {
    "abs": ir.Absolute,
    "add": ir.Add,
    "add_any": ir.Add,
    "eq": ir.Equal,
    "ge": ir.GreaterEqual,
    "gt": ir.Greater,
    "le": ir.LessEqual,
    "lt": ir.Less,
    "max": ir.Maximum,
    "min": ir.Minimum,
    "mul": ir.Multiply,
    "ne": ir.NotEqual,
    "neg": ir.Negative,
    "sign": ir.Sign,
    "stop_gradient": ir.StopGradient,
    "sub": ir.Subtract,
}
_LOGICAL: dict[str, tuple[type[Op], type[Op]]] = {
    "and": (ir.LogicalAnd, ir.BitwiseAnd),
    "not": (ir.LogicalNot, ir.BitwiseNot),
    "or": (ir.LogicalOr, ir.BitwiseOr),
}
_REDUCTIONS: dict[str, type[Any]] = {
    "reduce_max": ir.ReduceMax,
    "reduce_min": ir.ReduceMin,
    "reduce_prod": ir.ReduceProd,
    "reduce_sum": ir.ReduceSum,
}


def dtype_of(value: Any) -> DType:
    """The element type of a tensor or an array."""
    return value.type.dtype if isinstance(value, TracedTensor) else DType.of(value.dtype)


@imports(*_FLOATS)
def _of_floats(equation: Equation, *xs: Any) -> Any:
    equation.require(all(dtype_of(x).is_floating for x in xs))
    equation.require(equation.params.get("accuracy") is None)
    return emit(_FLOATS[equation.primitive](), *xs)


@imports(*_ANY)
def _of_any(equation: Equation, *xs: Any) -> Any:
    is_bool = dtype_of(xs[0]) is DType.BOOL
    equation.require(not is_bool or equation.primitive in ("eq", "ne", "stop_gradient"))
    equation.require(equation.params.get("out_dtype") is None)
    return emit(_ANY[equation.primitive](), *xs)


@imports(*_LOGICAL)
def _logical(equation: Equation, *xs: Any) -> Any:
    of_bools, of_bits = _LOGICAL[equation.primitive]
    return emit((of_bools if dtype_of(xs[0]) is DType.BOOL else of_bits)(), *xs)


@imports("xor")
def _xor(equation: Equation, a: Any, b: Any) -> Any:
    return emit((ir.NotEqual if dtype_of(a) is DType.BOOL else ir.BitwiseXor)(), a, b)


@imports("copy", "copy_p", "name", "optimization_barrier", "sharding_constraint", "pvary")
def _same(equation: Equation, *xs: Any) -> Any:
    return xs


@imports("square")
def _square(equation: Equation, x: Any) -> Any:
    return emit(ir.Multiply(), x, x)


_COMPOSED = {"erf_inv": ops.erfinv, "erfc": ops.erfc, "exp2": ops.exp2}


@imports(*_COMPOSED)
def _composed(equation: Equation, x: Any) -> Any:
    equation.require(equation.params.get("accuracy") is None)
    return _COMPOSED[equation.primitive](x)


@imports("integer_pow")
def _integer_pow(equation: Equation, x: Any) -> Any:
    """By repeated squaring, as XLA computes it."""
    exponent = equation.params["y"]
    one = np.ones((), dtype_of(x).numpy)
    equation.require(exponent >= 0 or dtype_of(x).is_floating)
    result, square, rest = None, x, abs(exponent)
    while rest:
        if rest % 2:
            result = square if result is None else emit(ir.Multiply(), result, square)
        rest //= 2
        square = emit(ir.Multiply(), square, square) if rest else square
    if result is None:
        return emit(ir.BroadcastTo(equation.type.shape), one)
    return result if exponent > 0 else emit(ir.Divide(), one, result)


@imports("rem")
def _remainder(equation: Equation, a: Any, b: Any) -> Any:
    """The remainder with the sign of a; the IR's has that of b."""
    absolute = (emit(ir.Absolute(), x) for x in (a, b))
    rest = emit(ir.Remainder(), *absolute)
    negative = emit(ir.Less(), a, np.zeros((), dtype_of(a).numpy))
    return emit(ir.Where(), negative, emit(ir.Negative(), rest), rest)


@imports("round")
def _round(equation: Equation, x: Any) -> Any:
    method = equation.params["rounding_method"]
    if method is jax.lax.RoundingMethod.TO_NEAREST_EVEN:
        return emit(ir.Round(), x)
    # Halves away from zero. Adding 0.5 first would round up what lies just below a half.
    size = emit(ir.Absolute(), x)
    whole = emit(ir.Floor(), size)
    half = np.asarray(0.5, equation.type.dtype.numpy)
    is_up = emit(ir.GreaterEqual(), emit(ir.Subtract(), size, whole), half)
    rounded = emit(ir.Add(), whole, emit(ir.Cast(equation.type.dtype), is_up))
    return emit(ir.Multiply(), emit(ir.Sign(), x), rounded)


@imports("convert_element_type")
def _cast(equation: Equation, x: Any) -> Any:
    return _to_dtype(x, equation.type.dtype)


def _to_dtype(x: Any, dtype: DType) -> Any:
    return x if dtype_of(x) is dtype else emit(ir.Cast(dtype), x)


@imports("select_n")
def _select(equation: Equation, which: Any, *cases: Any) -> Any:
    equation.require(len(cases) == 2 and dtype_of(which) is DType.BOOL)
    return emit(ir.Where(), which, cases[1], cases[0])


@imports("clamp")
def _clamp(equation: Equation, low: Any, x: Any, high: Any) -> Any:
    """As selections, whose gradients at the bounds are those of the primitive."""
    above = emit(ir.Where(), emit(ir.LessEqual(), x, low), low, x)
    return emit(ir.Where(), emit(ir.GreaterEqual(), above, high), high, above)


@imports(*_REDUCTIONS)
def _reduce(equation: Equation, x: Any) -> Any:
    axes = tuple(int(axis) for axis in equation.params["axes"])
    return emit(_REDUCTIONS[equation.primitive](axes), x)


@imports("reduce_and", "reduce_or")
def _reduce_bools(equation: Equation, x: Any) -> Any:
    equation.require(dtype_of(x) is DType.BOOL)
    reduce = ops.all if equation.primitive == "reduce_and" else ops.any
    axes = tuple(int(axis) for axis in equation.params["axes"])
    return reduce(x, axes) if axes else x


@imports("argmax", "argmin")
def _extreme_index(equation: Equation, x: Any) -> Any:
    (axis,) = equation.params["axes"]
    op = ir.Argmax if equation.primitive == "argmax" else ir.Argmin
    return emit(op(int(axis), dtype=equation.type.dtype), x)


@imports("cumsum")
def _cumsum(equation: Equation, x: Any) -> Any:
    return emit(ir.CumSum(int(equation.params["axis"]), reverse=equation.params["reverse"]), x)


@imports("cumprod")
def _cumprod(equation: Equation, x: Any) -> Any:
    equation.require(not equation.params["reverse"])
    return ops.cumprod(x, int(equation.params["axis"]))


@imports("sort")
def _sort(equation: Equation, key: Any, *others: Any) -> Any:
    """By the first operand; the others follow it."""
    axis = int(equation.params["dimension"])
    equation.require(equation.params["num_keys"] == 1)
    size = equation.type.shape[axis]
    ordered, order = emit(ir.TopK(size, axis, largest=False), key)
    return [ordered, *(emit(ir.GatherElements(axis), other, order) for other in others)]


@imports("top_k")
def _top_k(equation: Equation, x: Any) -> Any:
    axis = int(equation.params.get("axis", -1))
    return emit(ir.TopK(size_of(equation.params["k"]), axis, dtype=equation.types[1].dtype), x)


@imports("dim_as_value")
def _dim_as_value(equation: Equation) -> Any:
    return emit(ir.DimSize(size_of(equation.params["dim"]), equation.type.dtype))


@imports("dot_general")
def _dot_general(equation: Equation, a: Any, b: Any) -> Any:
    """Batch axes, then the free ones of a, then those of b; only the result is rounded."""
    (contract_a, contract_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    dtype = equation.type.dtype
    equation.require(dtype.is_floating)
    dtypes = (dtype.numpy, dtype_of(a).numpy, dtype_of(b).numpy)
    wide = functools.reduce(jax.numpy.promote_types, dtypes)
    a, b = (_to_dtype(x, DType.of(wide)) for x in (a, b))
    letters = iter(string.ascii_letters)
    labels_a = [next(letters) for _ in a.shape]
    labels_b = [next(letters) for _ in b.shape]
    for i, j in zip((*contract_a, *batch_a), (*contract_b, *batch_b), strict=True):
        labels_b[j] = labels_a[i]
    bound_a, bound_b = {*contract_a, *batch_a}, {*contract_b, *batch_b}
    result = [labels_a[i] for i in batch_a]
    result += [label for i, label in enumerate(labels_a) if i not in bound_a]
    result += [label for j, label in enumerate(labels_b) if j not in bound_b]
    joined = ("".join(labels) for labels in (labels_a, labels_b, result))
    return _to_dtype(ops.einsum("{},{}->{}".format(*joined), a, b), dtype)
