"""Angles: trigonometric and hyperbolic functions of each element."""

from __future__ import annotations

import math
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    cast,
    equal,
    isinf,
    logical_or,
    multiply,
    sin,
    where,
)
from kcompile.ops.promotion import to_common_floats, to_float
from kcompile.ops.trace import emit


@public
def tan(x: Any) -> Any:
    """The tangent of x in radians."""
    return emit(ir.Tan(), to_float(x))


@public
def arcsin(x: Any) -> Any:
    """The angle in [-pi/2, pi/2] whose sine is x."""
    return emit(ir.Asin(), to_float(x))


@public
def arccos(x: Any) -> Any:
    """The angle in [0, pi] whose cosine is x."""
    return emit(ir.Acos(), to_float(x))


@public
def arctan(x: Any) -> Any:
    """The angle in [-pi/2, pi/2] whose tangent is x."""
    return emit(ir.Atan(), to_float(x))


@public
def arctan2(x1: Any, x2: Any) -> Any:
    """The angle of the point (x2, x1), in [-pi, pi]."""
    return emit(ir.Atan2(), *to_common_floats(x1, x2))


@public
def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    return emit(ir.Sinh(), to_float(x))


@public
def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    return emit(ir.Cosh(), to_float(x))


@public
def arcsinh(x: Any) -> Any:
    """The number whose hyperbolic sine is x."""
    return emit(ir.Asinh(), to_float(x))


@public
def arccosh(x: Any) -> Any:
    """The positive number whose hyperbolic cosine is x."""
    return emit(ir.Acosh(), to_float(x))


@public
def arctanh(x: Any) -> Any:
    """The number whose hyperbolic tangent is x."""
    return emit(ir.Atanh(), to_float(x))


@public
def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return multiply(to_float(x), math.pi / 180)


@public
def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return multiply(to_float(x), 180 / math.pi)


@public
def sinc(x: Any) -> Any:
    """`sin(pi x) / (pi x)`, and 1 at 0."""
    tensor = to_float(x)
    is_zero = equal(tensor, 0)
    angle = multiply(where(is_zero, 1, tensor), math.pi)
    return where(is_zero, 1, emit(ir.Divide(), sin(angle), angle))


@public
def hypot(x1: Any, x2: Any) -> Any:
    """`sqrt(x1^2 + x2^2)` without overflow; infinite where one of the two is."""
    a, b = (emit(ir.Absolute(), side) for side in to_common_floats(x1, x2))
    longer, shorter = emit(ir.Maximum(), a, b), emit(ir.Minimum(), a, b)
    divisor = where(equal(longer, 0), 1, longer)
    ratio = emit(ir.Divide(), shorter, divisor)
    length = multiply(longer, emit(ir.Sqrt(), ratio * ratio + 1))
    return where(logical_or(isinf(a), isinf(b)), math.inf, length)


@public
def angle(x: Any) -> Any:
    """The angle of a real number in the complex plane: 0, or pi where x is negative or -0."""
    tensor = to_float(x)
    return emit(ir.Atan2(), cast(0, tensor.dtype), tensor)
