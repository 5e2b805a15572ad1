"""Looking at values that are known at compile time."""

from __future__ import annotations

import numpy as np

from kcompile.ir.graph import Value
from kcompile.ir.op import Array, evaluate
from kcompile.ir.ops import Constant
from kcompile.passes.rebuild import Rebuild


def compute(value: Value, new: Rebuild) -> Array:
    """The array of a value that `new.is_known`."""
    node = new.producer(value)
    if node is None or not new.is_known(value):
        raise KeyError(value.name)
    operands = tuple(compute(v, new) if v is not None else None for v in node.inputs)
    return evaluate(node.op, operands)[node.outputs.index(value)]


def uniform_number(value: Value, new: Rebuild) -> float | None:
    """The number that all elements of a `Constant` are; None if there is none.

    0.0 and -0.0 are two numbers here, and NaN is none.
    """
    node = new.producer(value)
    if node is None or not isinstance(node.op, Constant) or not value.type.dtype.is_numeric:
        return None
    array = node.op.value.array
    if array.size == 0 or np.any(array != array.flat[0]):
        return None
    if value.type.dtype.is_floating and np.ptp(np.signbit(array).astype(np.int8)):
        return None
    return float(array.flat[0])


def is_negative_zero(number: float) -> bool:
    return number == 0 and bool(np.signbit(number))
