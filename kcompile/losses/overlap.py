"""Losses of the overlap between segmentations."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.losses.base import FunctionLoss
from kcompile.losses.calling import one_graph_function

EPSILON = 1e-7

Axis = int | tuple[int, ...] | list[int] | None


@one_graph_function
def dice(y_true: Any, y_pred: Any, axis: Axis = None) -> Any:
    """`1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))` over axis."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    both = ops.sum(y_true * y_pred, axis)
    return 1 - 2.0 * both / (ops.sum(y_true, axis) + ops.sum(y_pred, axis) + EPSILON)


@one_graph_function
def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axis = None
) -> Any:
    """`1 - both / (both + alpha * missed + beta * false)` over axis (Salehi et al., 2017)."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    both = ops.sum(y_true * y_pred, axis)
    missed = ops.sum((1 - y_pred) * y_true, axis)
    false = ops.sum(y_pred * (1 - y_true), axis)
    return 1 - both / (both + missed * alpha + false * beta + EPSILON)


class Dice(FunctionLoss):
    """`1 -` the Dice coefficient of labels and predictions over axis."""

    function = staticmethod(dice)
    default_name = "dice"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        axis: Axis = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = axis


class Tversky(FunctionLoss):
    """Dice with weights for the two kinds of error (Salehi et al., 2017)."""

    function = staticmethod(tversky)
    default_name = "tversky"

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        axis: Axis = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis
