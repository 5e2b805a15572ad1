"""What a layer makes of the arguments of a call before it computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import SymbolicTensor
from kcompile.ops.trace import Mode, Trace, current_trace
from kcompile.ops.variable import Variable


def mode_of(trace: Trace, training: bool | None) -> Mode:
    """The mode of a call: what it is told, or that of the call around it.

    `training=True` where the surrounding call is not training is the model's own wish.
    """
    if training is None:
        return trace.mode
    if training:
        return Mode(True, trace.mode.forced or not trace.mode.training)
    return Mode(False)


def as_tensors(argument: Any) -> Any:
    """The argument, arrays and variables in it as tensors."""
    return map_leaves(_as_tensor, argument)


def _as_tensor(leaf: Any) -> Any:
    trace = current_trace()
    assert trace is not None
    if isinstance(leaf, Variable) or (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
        return leaf if isinstance(leaf, SymbolicTensor) else trace.convert(leaf)
    return leaf


def numbers_as_array(argument: Any) -> Any:
    """Nested lists of plain numbers as one array; anything else as it is."""
    flat = list(leaves(argument)) if isinstance(argument, (list, tuple)) else []
    if flat and all(isinstance(leaf, (bool, int, float)) for leaf in flat):
        return np.asarray(argument)
    return argument


def shapes_of(argument: Any) -> Any:
    """The shapes of tensors, in the structure of the argument; None for what is none."""
    return map_leaves(_shape_of, argument)


def _shape_of(leaf: Any) -> Any:
    return leaf.shape if isinstance(leaf, SymbolicTensor) else None
