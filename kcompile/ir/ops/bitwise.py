"""Ops on the bits of integers, in two's complement; operands of two broadcast as in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.elementwise import _broadcast
from kcompile.ir.types import TensorType


class _BitwiseBinary(Op):
    """`y = f(a, b)`, of the integer type that a and b share."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require(a.dtype.is_integer, "needs integers")
        return _broadcast(a, b)


@dataclass(frozen=True)
class BitwiseAnd(_BitwiseBinary):
    """`y`: the bits that are set in both a and b."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.bitwise_and(a, b)


@dataclass(frozen=True)
class BitwiseOr(_BitwiseBinary):
    """`y`: the bits that are set in a, in b or in both."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.bitwise_or(a, b)


@dataclass(frozen=True)
class BitwiseXor(_BitwiseBinary):
    """`y`: the bits that are set in one of a and b."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.bitwise_xor(a, b)


@dataclass(frozen=True)
class BitwiseNot(Op):
    """`y`: the bits that are not set in x; `-1 - x` for signed integers."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_integer, "needs integers")
        return x

    def reference(self, x: Array) -> Array:
        return np.invert(x)


@dataclass(frozen=True)
class ShiftLeft(_BitwiseBinary):
    """`y`: the bits of a, b places up; 0 where b is negative or at least the number of bits."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.left_shift(a, b)


@dataclass(frozen=True)
class ShiftRight(_BitwiseBinary):
    """`y = floor(a / 2^b)`; -1 or 0, by the sign of a, where b is negative or at least the bits."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.right_shift(a, b)
