"""Constants."""

from __future__ import annotations

from dataclasses import dataclass

from kcompile.ir.literal import Literal
from kcompile.ir.op import Array, Op
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Constant(Op):
    """`y = value`: an array that is known when the graph is made."""

    value: Literal

    def infer(self) -> TensorType:
        return self.value.type

    def reference(self) -> Array:
        return self.value.array
