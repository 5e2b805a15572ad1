"""The table from op classes to lowerings; the family files next to it fill it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kcompile.ir.op import Op

#: `lowering(emitter, op, *operands)` emits ONNX nodes and gives the result, or a tuple of them for
#: an op with several. An optional operand that is left out is None or not given.
Lowering = Callable[..., Any]
F = TypeVar("F", bound=Lowering)

#: Opset 17 is the floor: the first with LayerNormalization, read by every runtime since 2022.
FLOOR = 17

LOWERINGS: dict[type[Op], Lowering] = {}
#: The lowest opset in which the lowering's ONNX ops are, where it is above the floor.
MINIMUM_OPSETS: dict[type[Op], int] = {}
#: The opset from which on there is a better form, of ops that have one; it depends on attributes.
PREFERRED_OPSETS: dict[type[Op], Callable[[Any], int]] = {}
#: Ops that no ONNX file holds, and why.
REFUSALS: dict[type[Op], str] = {}


def lowers(*op_classes: type[Op], opset: int = FLOOR) -> Callable[[F], F]:
    """Decorator: enter a lowering, which needs `opset`, for each of `op_classes`."""

    def register(lowering: F) -> F:
        for op_class in op_classes:
            if op_class in LOWERINGS or op_class in REFUSALS:
                raise TypeError(f"{op_class.__name__} is in the table twice")
            LOWERINGS[op_class] = lowering
            if opset > FLOOR:
                MINIMUM_OPSETS[op_class] = opset
        return lowering

    return register


def refuses(op_class: type[Op], reason: str) -> None:
    """Enter an op that is not exported, with the reason that the error gives."""
    if op_class in LOWERINGS or op_class in REFUSALS:
        raise TypeError(f"{op_class.__name__} is in the table twice")
    REFUSALS[op_class] = reason


def minimum_opset(op: Op) -> int:
    """The lowest opset that holds `op`."""
    return MINIMUM_OPSETS.get(type(op), FLOOR)


def preferred_opset(op: Op) -> int:
    """The lowest opset that holds `op` in its best form, as one ONNX op where that is faster."""
    preferred = PREFERRED_OPSETS.get(type(op))
    return minimum_opset(op) if preferred is None else preferred(op)
