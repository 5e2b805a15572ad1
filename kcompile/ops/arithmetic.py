"""More functions of each element: quotients, logarithms, tests, and casts that keep the range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    _to_bool,
    absolute,
    add,
    cast,
    ceil,
    equal,
    exp,
    floor,
    greater,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    promote_bools,
    sign,
    subtract,
    where,
)
from kcompile.ops.promotion import to_common_floats, to_common_type, to_float, to_tensor
from kcompile.ops.reduction import all
from kcompile.ops.trace import emit, require_trace


@public
def floor_divide(x1: Any, x2: Any) -> Any:
    """`floor(x1 / x2)`."""
    return emit(ir.FloorDivide(), *promote_bools(x1, x2))


@public
def fmod(x1: Any, x2: Any) -> Any:
    """The remainder of `x1 / x2`, with the sign of x1."""
    a, b = promote_bools(x1, x2)
    if a.type.dtype.value.startswith("u"):
        return emit(ir.Remainder(), a, b)
    remainder = emit(ir.Remainder(), emit(ir.Absolute(), a), emit(ir.Absolute(), b))
    return where(less(a, 0), emit(ir.Negative(), remainder), remainder)


@public
def trunc(x: Any) -> Any:
    """x without its fraction."""
    tensor = to_tensor(x)
    if not tensor.type.dtype.is_floating:
        return tensor
    return where(less(tensor, 0), ceil(tensor), floor(tensor))


@public
def fabs(x: Any) -> Any:
    """`|x|`, floating."""
    return absolute(to_float(x))


@public
def fmax(x1: Any, x2: Any) -> Any:
    """The greater of x1 and x2; the other one where one is NaN."""
    a, b = to_common_type(x1, x2)
    if not a.type.dtype.is_floating:
        return maximum(a, b)
    return where(isnan(a), b, where(isnan(b), a, emit(ir.Maximum(), a, b)))


@public
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of x1 and x2; the other one where one is NaN."""
    a, b = to_common_type(x1, x2)
    if not a.type.dtype.is_floating:
        return minimum(a, b)
    return where(isnan(a), b, where(isnan(b), a, emit(ir.Minimum(), a, b)))


@public
def log2(x: Any) -> Any:
    """The logarithm to base 2."""
    return multiply(log(x), 1 / math.log(2))


@public
def log10(x: Any) -> Any:
    """The logarithm to base 10."""
    return multiply(log(x), 1 / math.log(10))


@public
def exp2(x: Any) -> Any:
    """`2 ** x`."""
    return power(2.0, to_float(x))


def _log_of_sum(x1: Any, x2: Any, unit: float) -> Any:
    """`log(b^x1 + b^x2) / log(b)` with `unit = log(b)`, without overflow."""
    a, b = to_common_floats(x1, x2)
    top = emit(ir.Maximum(), a, b)
    gap = emit(ir.Absolute(), subtract(a, b))
    rest = multiply(log1p(exp(multiply(gap, -unit))), 1 / unit)
    return where(logical_and(equal(a, b), isinf(a)), a, add(top, rest))


@public
def logaddexp(x1: Any, x2: Any) -> Any:
    """`log(e^x1 + e^x2)` without overflow."""
    return _log_of_sum(x1, x2, 1.0)


@public
def logaddexp2(x1: Any, x2: Any) -> Any:
    """`log2(2^x1 + 2^x2)` without overflow."""
    return _log_of_sum(x1, x2, math.log(2))


@public
def cbrt(x: Any) -> Any:
    """The cube root, negative for negative x."""
    tensor = to_float(x)
    return multiply(sign(tensor), power(absolute(tensor), 1 / 3))


@public
def ldexp(x1: Any, x2: Any) -> Any:
    """`x1 * 2^x2`; in two steps, so that only the result has to be in range."""
    x = to_float(x1)
    exponent = to_tensor(x2)
    half = cast(floor_divide(exponent, 2), x.dtype)
    rest = subtract(cast(exponent, x.dtype), half)
    return multiply(multiply(x, exp2(half)), exp2(rest))


@public
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where x1 is negative, x2 where it is 0, 1 where it is positive."""
    a, b = to_common_floats(x1, x2)
    step = where(less(a, 0), 0, where(greater(a, 0), 1, b))
    return where(isnan(a), a, step)


@public
def erfinv(x: Any) -> Any:
    """The number whose error function is x.

    Source: M. Giles, "Approximating the erfinv function", GPU Computing Gems (Jade Edition), 2012:
    two polynomials in `-log(1 - x^2)`, for single precision.
    """
    tensor = to_float(x)
    wide = cast(tensor, "float32") if tensor.dtype in ("float16", "bfloat16") else tensor
    w = negative(log1p(negative(multiply(wide, wide))))
    near = _polynomial(subtract(w, 2.5), _ERFINV_NEAR)
    far = _polynomial(subtract(emit(ir.Sqrt(), w), 3.0), _ERFINV_FAR)
    value = multiply(where(less(w, 5.0), near, far), wide)
    ends = multiply(wide, math.inf)
    return cast(where(equal(absolute(wide), 1.0), ends, value), tensor.dtype)


_ERFINV_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    """By Horner's scheme, the highest power first."""
    result: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        result = add(multiply(x, result), coefficient)
    return result


@public
def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """x with numbers for NaN and the infinities; by default 0 and the type's greatest numbers."""
    tensor = to_tensor(x)
    dtype = tensor.type.dtype
    if not dtype.is_floating:
        return tensor
    limits = _limits(dtype)
    high = limits[1] if posinf is None else posinf
    low = limits[0] if neginf is None else neginf
    infinite = isinf(tensor)
    filled = where(logical_and(infinite, greater(tensor, 0)), high, tensor)
    filled = where(logical_and(infinite, less(tensor, 0)), low, filled)
    return where(isnan(tensor), nan, filled)


def _limits(dtype: DType) -> tuple[float, float]:
    """The least and the greatest number of a type."""
    if dtype is DType.BFLOAT16:
        greatest = float.fromhex("0x1.fep127")
        return -greatest, greatest
    if dtype.is_floating:
        return float(np.finfo(dtype.numpy).min), float(np.finfo(dtype.numpy).max)
    return np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max


@public
def isposinf(x: Any) -> Any:
    """Whether x is positive infinity."""
    return equal(to_float(x), math.inf)


@public
def isneginf(x: Any) -> Any:
    """Whether x is negative infinity."""
    return equal(to_float(x), -math.inf)


@public
def isreal(x: Any) -> Any:
    """True everywhere: there are no complex tensors."""
    tensor = to_tensor(x)
    return emit(ir.BroadcastTo(tensor.type.shape), to_tensor(True))


@public
def signbit(x: Any) -> Any:
    """Whether the sign bit is set: of negative numbers and -0. That of NaN cannot be told."""
    tensor = to_tensor(x)
    if not tensor.type.dtype.is_floating:
        return less(tensor, 0)
    reciprocal = emit(ir.Divide(), cast(1.0, tensor.dtype), tensor)
    return logical_or(less(tensor, 0), less(reciprocal, 0))


@public
def isclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether `|x1 - x2| <= atol + rtol |x2|`; infinities are close to themselves."""
    a, b = to_common_floats(x1, x2)
    near = less_equal(absolute(subtract(a, b)), add(multiply(absolute(b), rtol), atol))
    result = where(logical_or(isinf(a), isinf(b)), equal(a, b), near)
    return logical_or(result, logical_and(isnan(a), isnan(b))) if equal_nan else result


@public
def allclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether all elements are close."""
    return all(isclose(x1, x2, rtol, atol, equal_nan))


@public
def logical_xor(x1: Any, x2: Any) -> Any:
    """Whether one of x1 and x2 holds."""
    return not_equal(_to_bool(x1), _to_bool(x2))


@public
def saturate_cast(x: Any, dtype: str) -> Any:
    """x in another element type; what is beyond its range becomes its least or greatest number."""
    tensor = to_tensor(x)
    source, target = tensor.type.dtype, DType.of(dtype)
    if target is DType.BOOL or source is DType.BOOL or source is target:
        return cast(tensor, dtype)
    low, high = _limits(target)
    least, most = _limits(source)
    limited = tensor
    if low > least:
        limited = emit(ir.Maximum(), limited, cast(_towards_zero(low, source), tensor.dtype))
    if high < most:
        limited = emit(ir.Minimum(), limited, cast(_towards_zero(high, source), tensor.dtype))
    result = cast(limited, dtype)
    if source.is_floating and target.is_integer:  # 2^31 - 1 is no float32: the ends are put in
        end = require_trace().convert(np.asarray(high), target)
        result = where(greater(tensor, float(_towards_zero(high, source))), end, result)
    return result


def _towards_zero(bound: float, source: DType) -> Any:
    """The number of the type `source` that is next to `bound`, not beyond it."""
    array = np.asarray(bound).astype(source.numpy)
    if abs(float(array)) > abs(float(bound)):
        array = np.nextafter(array, source.numpy.type(0))
    return array


@public
def real(x: Any) -> Any:
    """The real part, which is x."""
    return to_tensor(x)


@public
def imag(x: Any) -> Any:
    """The imaginary part, which is 0."""
    tensor = to_tensor(x)
    return emit(ir.BroadcastTo(tensor.type.shape), cast(0, tensor.dtype))


@public
def conj(x: Any) -> Any:
    """The complex conjugate, which is x."""
    return to_tensor(x)


@public
def conjugate(x: Any) -> Any:
    """The complex conjugate, which is x."""
    return to_tensor(x)


@public
def copy(x: Any) -> Any:
    """x."""
    return to_tensor(x)


@public
def stop_gradient(variable: Any) -> Any:
    """x, through which no gradient flows."""
    return emit(ir.StopGradient(), to_tensor(variable))
