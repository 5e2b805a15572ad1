"""What only training sees."""

from __future__ import annotations

from dataclasses import dataclass

from kcompile.ir.op import Array, Op
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class StopGradient(Op):
    """`y = x`, with gradient 0."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def reference(self, x: Array) -> Array:
        return x
