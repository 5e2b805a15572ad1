"""Functions of each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.promotion import result_type, to_common_type, to_float, to_tensor
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace


def _to_bool(value: Any) -> Any:
    tensor = to_tensor(value)
    return tensor if tensor.type.dtype is DType.BOOL else require_trace().cast(tensor, DType.BOOL)


def promote_bools(*values: Any) -> list[TracedTensor]:
    """`values` as tensors of one type, bools as int32."""
    least = DType.INT32 if result_type(*values) is DType.BOOL else None
    return to_common_type(*values, least=least)


@public
def add(x1: Any, x2: Any) -> Any:
    """`x1 + x2`; of bools whether one holds."""
    if result_type(x1, x2) is DType.BOOL:
        return logical_or(x1, x2)
    return emit(ir.Add(), *to_common_type(x1, x2))


@public
def subtract(x1: Any, x2: Any) -> Any:
    """`x1 - x2`."""
    return emit(ir.Subtract(), *to_common_type(x1, x2))


@public
def multiply(x1: Any, x2: Any) -> Any:
    """`x1 * x2`; of bools whether both hold."""
    if result_type(x1, x2) is DType.BOOL:
        return logical_and(x1, x2)
    return emit(ir.Multiply(), *to_common_type(x1, x2))


@public
def true_divide(x1: Any, x2: Any) -> Any:
    """`x1 / x2`; integers divide as float32."""
    dtype = result_type(x1, x2)
    least = None if dtype.is_floating else DType.FLOAT32
    return emit(ir.Divide(), *to_common_type(x1, x2, least=least))


@public
def divide(x1: Any, x2: Any) -> Any:
    """`x1 / x2`; integers divide as float32."""
    return true_divide(x1, x2)


@public
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """`x1 / x2`, and 0 where x2 is 0."""
    least = None if result_type(x1, x2).is_floating else DType.FLOAT32
    a, b = to_common_type(x1, x2, least=least)
    is_zero = equal(b, 0)
    return where(is_zero, 0, emit(ir.Divide(), a, where(is_zero, 1, b)))


@public
def mod(x1: Any, x2: Any) -> Any:
    """The remainder of `x1 / x2`, with the sign of x2."""
    return emit(ir.Remainder(), *promote_bools(x1, x2))


@public
def power(x1: Any, x2: Any) -> Any:
    """`x1 ** x2`.

    Raises:
        SpecError: x1 has integers and x2 is a negative one.
    """
    base, exponent = promote_bools(x1, x2)
    if base.type.dtype.is_integer and isinstance(x2, (int, np.integer)) and x2 < 0:
        raise SpecError(
            f"ops.power: integers have no power {x2} among the integers",
            hint="Cast them to floats",
        )
    return emit(ir.Power(), base, exponent)


@public
def maximum(x1: Any, x2: Any) -> Any:
    """The greater of x1 and x2."""
    if result_type(x1, x2) is DType.BOOL:
        return logical_or(x1, x2)
    return emit(ir.Maximum(), *to_common_type(x1, x2))


@public
def minimum(x1: Any, x2: Any) -> Any:
    """The smaller of x1 and x2."""
    if result_type(x1, x2) is DType.BOOL:
        return logical_and(x1, x2)
    return emit(ir.Minimum(), *to_common_type(x1, x2))


@public
def negative(x: Any) -> Any:
    """`-x`."""
    return emit(ir.Negative(), to_tensor(x))


@public
def absolute(x: Any) -> Any:
    """`|x|`."""
    tensor = to_tensor(x)
    return tensor if tensor.type.dtype is DType.BOOL else emit(ir.Absolute(), tensor)


@public
def abs(x: Any) -> Any:
    """`|x|`."""
    return absolute(x)


@public
def sign(x: Any) -> Any:
    """-1, 0 or 1, as x is negative, zero or positive."""
    return emit(ir.Sign(), to_tensor(x))


@public
def exp(x: Any) -> Any:
    """`e ** x`."""
    return emit(ir.Exp(), to_float(x))


@public
def expm1(x: Any) -> Any:
    """`e ** x - 1`, precise near 0."""
    return emit(ir.Expm1(), to_float(x))


@public
def log(x: Any) -> Any:
    """The natural logarithm."""
    return emit(ir.Log(), to_float(x))


@public
def log1p(x: Any) -> Any:
    """`log(1 + x)`, precise near 0."""
    return emit(ir.Log1p(), to_float(x))


@public
def sqrt(x: Any) -> Any:
    """The square root."""
    return emit(ir.Sqrt(), to_float(x))


@public
def rsqrt(x: Any) -> Any:
    """`1 / sqrt(x)`."""
    return emit(ir.Rsqrt(), to_float(x))


@public
def square(x: Any) -> Any:
    """`x * x`; bools as int32."""
    (tensor,) = promote_bools(x)
    return emit(ir.Multiply(), tensor, tensor)


@public
def reciprocal(x: Any) -> Any:
    """`1 / x`."""
    return true_divide(1.0, to_float(x))


@public
def sin(x: Any) -> Any:
    """The sine of x in radians."""
    return emit(ir.Sin(), to_float(x))


@public
def cos(x: Any) -> Any:
    """The cosine of x in radians."""
    return emit(ir.Cos(), to_float(x))


@public
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return emit(ir.Tanh(), to_float(x))


@public
def erf(x: Any) -> Any:
    """The error function."""
    return emit(ir.Erf(), to_float(x))


@public
def floor(x: Any) -> Any:
    """The greatest integer that is at most x."""
    return emit(ir.Floor(), to_float(x))


@public
def ceil(x: Any) -> Any:
    """The least integer that is at least x."""
    return emit(ir.Ceil(), to_float(x))


@public
def round(x: Any, decimals: int = 0) -> Any:
    """The nearest multiple of `10 ** -decimals`, halves to even; integers stay integers."""
    tensor = to_tensor(x)
    if not tensor.type.dtype.is_floating:
        return tensor if decimals >= 0 else _round_integers(tensor, 10**-decimals)
    if decimals == 0:
        return emit(ir.Round(), tensor)
    scale = 10.0**decimals
    return true_divide(emit(ir.Round(), multiply(tensor, scale)), scale)


def _round_integers(x: TracedTensor, step: int) -> Any:
    """The nearest multiple of a power of ten; halves to the multiple by an even number."""
    if step > 10**9:
        raise SpecError(f"ops.round: {step} is beyond the integers of 32 bits")
    is_narrow = x.type.dtype in (DType.INT8, DType.UINT8, DType.INT16, DType.UINT16)
    wide = cast(x, "int32") if is_narrow else promote_bools(x)[0]
    quotient = emit(ir.FloorDivide(), *to_common_type(wide, step))
    rest = subtract(wide, multiply(quotient, step))
    is_odd = equal(mod(quotient, 2), 1)
    up = logical_or(greater(rest, step // 2), logical_and(equal(rest, step // 2), is_odd))
    rounded = multiply(add(quotient, cast(up, wide.dtype)), step)
    return cast(rounded, x.dtype) if is_narrow else rounded


@public
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x limited to `[x_min, x_max]`, numbers or tensors."""
    tensor = to_tensor(x)
    if tensor.type.dtype is DType.BOOL:
        tensor = cast(tensor, "int32")
    bounds = (x_min, x_max)
    are_numbers = all(isinstance(bound, (int, float)) for bound in bounds)
    if are_numbers and (tensor.type.dtype.is_floating or result_type(tensor, *bounds).is_integer):
        return emit(ir.Clip(float(x_min), float(x_max)), tensor)
    low = tensor if x_min is None else maximum(tensor, x_min)
    return low if x_max is None else minimum(low, x_max)


@public
def isnan(x: Any) -> Any:
    """Whether x is NaN."""
    return emit(ir.IsNan(), to_float(x))


@public
def isinf(x: Any) -> Any:
    """Whether x is infinite."""
    return emit(ir.IsInf(), to_float(x))


@public
def isfinite(x: Any) -> Any:
    """Whether x is neither NaN nor infinite."""
    return emit(ir.IsFinite(), to_float(x))


@public
def equal(x1: Any, x2: Any) -> Any:
    """`x1 == x2`."""
    return emit(ir.Equal(), *to_common_type(x1, x2))


@public
def not_equal(x1: Any, x2: Any) -> Any:
    """`x1 != x2`."""
    return emit(ir.NotEqual(), *to_common_type(x1, x2))


@public
def less(x1: Any, x2: Any) -> Any:
    """`x1 < x2`."""
    return emit(ir.Less(), *to_common_type(x1, x2))


@public
def less_equal(x1: Any, x2: Any) -> Any:
    """`x1 <= x2`."""
    return emit(ir.LessEqual(), *to_common_type(x1, x2))


@public
def greater(x1: Any, x2: Any) -> Any:
    """`x1 > x2`."""
    return emit(ir.Greater(), *to_common_type(x1, x2))


@public
def greater_equal(x1: Any, x2: Any) -> Any:
    """`x1 >= x2`."""
    return emit(ir.GreaterEqual(), *to_common_type(x1, x2))


@public
def logical_and(x1: Any, x2: Any) -> Any:
    """`x1 and x2`."""
    return emit(ir.LogicalAnd(), _to_bool(x1), _to_bool(x2))


@public
def logical_or(x1: Any, x2: Any) -> Any:
    """`x1 or x2`."""
    return emit(ir.LogicalOr(), _to_bool(x1), _to_bool(x2))


@public
def logical_not(x: Any) -> Any:
    """`not x`."""
    return emit(ir.LogicalNot(), _to_bool(x))


@public
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x1 where the condition holds, else x2."""
    if x1 is None or x2 is None:
        raise NotImplementedError(
            "ops.where: without x1 and x2 it lists places, and how many depends on the values; "
            "a graph's shapes do not"
        )
    return emit(ir.Where(), _to_bool(condition), *to_common_type(x1, x2))


@public
def cast(x: Any, dtype: str) -> Any:
    """x in another element type."""
    return require_trace().convert(to_tensor(x), DType.of(dtype))


@public
def convert_to_tensor(x: Any, dtype: str | None = None) -> Any:
    """x as a tensor."""
    tensor = to_tensor(x)
    return tensor if dtype is None else require_trace().convert(tensor, DType.of(dtype))
