"""Integer quotients, and the test for infinities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array
from kcompile.ir.ops.elementwise import _Binary, _FloatTest


@dataclass(frozen=True)
class FloorDivide(_Binary):
    """`y = floor(a / b)`; of integers undefined where b is 0."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.floor_divide(a, b)


@dataclass(frozen=True)
class IsInf(_FloatTest):
    """`y`: whether x is infinite, of either sign."""

    def reference(self, x: Array) -> Array:
        return np.isinf(x)
