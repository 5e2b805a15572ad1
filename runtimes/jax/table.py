"""The tables from op classes to lowerings; the family files next to it fill them.

Every op has a lowering that holds on all backends and under every transformation of JAX. An op
may have another one for training on one backend, whose gradients are faster there; such a
lowering knows reverse-mode derivatives of first order only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kcompile.ir.op import Op

#: `lowering(op, *operands)` gives a JAX array, or a tuple of them for an op with several results.
#: The op has no symbols; an optional operand that is left out is None or not given.
Lowering = Callable[..., Any]
F = TypeVar("F", bound=Lowering)

LOWERINGS: dict[type[Op], Lowering] = {}
#: By backend, what training uses in place of those.
TRAINING_LOWERINGS: dict[str, dict[type[Op], Lowering]] = {}


def lowers(*op_classes: type[Op]) -> Callable[[F], F]:
    """Decorator: enter a lowering into the table for each of `op_classes`."""

    def register(lowering: F) -> F:
        for op_class in op_classes:
            if op_class in LOWERINGS:
                raise TypeError(f"{op_class.__name__} has two lowerings")
            LOWERINGS[op_class] = lowering
        return lowering

    return register


def lowers_for_training(backend: str, op_class: type[Op]) -> Callable[[F], F]:
    """Decorator: enter a lowering for training on that backend."""

    def register(lowering: F) -> F:
        table = TRAINING_LOWERINGS.setdefault(backend, {})
        if op_class in table:
            raise TypeError(f"{op_class.__name__} has two lowerings for training on {backend}")
        table[op_class] = lowering
        return lowering

    return register


def training_table(backend: str) -> Mapping[type[Op], Lowering]:
    """The lowerings that training on that backend uses."""
    return {**LOWERINGS, **TRAINING_LOWERINGS.get(backend, {})}


def lowers_to(functions: dict[type[Op], Lowering]) -> None:
    """Enter ops without attributes whose lowering is a function of the operands alone."""
    for op_class, function in functions.items():
        lowers(op_class)(_without_op(function))


def _without_op(function: Lowering) -> Lowering:
    return lambda op, *operands: function(*operands)
