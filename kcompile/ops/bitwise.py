"""Functions of the bits of integers."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import logical_and, logical_not, logical_or, not_equal
from kcompile.ops.promotion import to_common_type, to_tensor
from kcompile.ops.trace import emit


def _on_bits(op: Op, on_bools: Any, x: Any, y: Any) -> Any:
    a, b = to_common_type(x, y)
    return on_bools(a, b) if a.type.dtype is DType.BOOL else emit(op, a, b)


@public
def bitwise_and(x: Any, y: Any) -> Any:
    """The bits that are set in both."""
    return _on_bits(ir.BitwiseAnd(), logical_and, x, y)


@public
def bitwise_or(x: Any, y: Any) -> Any:
    """The bits that are set in either."""
    return _on_bits(ir.BitwiseOr(), logical_or, x, y)


@public
def bitwise_xor(x: Any, y: Any) -> Any:
    """The bits that are set in one of the two."""
    return _on_bits(ir.BitwiseXor(), not_equal, x, y)


@public
def bitwise_not(x: Any) -> Any:
    """The bits that are not set."""
    tensor = to_tensor(x)
    return logical_not(tensor) if tensor.type.dtype is DType.BOOL else emit(ir.BitwiseNot(), tensor)


@public
def bitwise_invert(x: Any) -> Any:
    """The bits that are not set."""
    return bitwise_not(x)


@public
def left_shift(x: Any, y: Any) -> Any:
    """`x * 2^y`: the bits of x, y places up."""
    return emit(ir.ShiftLeft(), *to_common_type(x, y))


@public
def right_shift(x: Any, y: Any) -> Any:
    """`floor(x / 2^y)`: the bits of x, y places down."""
    return emit(ir.ShiftRight(), *to_common_type(x, y))


@public
def bitwise_left_shift(x: Any, y: Any) -> Any:
    """`x * 2^y`: the bits of x, y places up."""
    return left_shift(x, y)


@public
def bitwise_right_shift(x: Any, y: Any) -> Any:
    """`floor(x / 2^y)`: the bits of x, y places down."""
    return right_shift(x, y)
