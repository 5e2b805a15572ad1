"""Losses of numbers."""

from __future__ import annotations

import math
from typing import Any

import kcompile.ops as ops
from kcompile.losses.base import FunctionLoss, to_same_rank
from kcompile.losses.calling import one_graph_function

EPSILON = 1e-7


def as_pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Labels and predictions in the element type of the predictions, and of one rank."""
    y_pred = ops.convert_to_tensor(y_pred)
    return to_same_rank(ops.convert_to_tensor(y_true, y_pred.dtype), y_pred)


@one_graph_function
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """`mean((y_true - y_pred) ** 2)` over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), -1)


@one_graph_function
def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """`mean(|y_true - y_pred|)` over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return ops.mean(ops.absolute(y_true - y_pred), -1)


@one_graph_function
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """`100 * mean(|(y_true - y_pred) / y_true|)` over the last axis, divisors at least 1e-7."""
    y_true, y_pred = as_pair(y_true, y_pred)
    size = ops.maximum(ops.absolute(y_true), EPSILON)
    return 100.0 * ops.mean(ops.absolute((y_true - y_pred) / size), -1)


@one_graph_function
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """`mean((log(y_true + 1) - log(y_pred + 1)) ** 2)` over the last axis, both at least 1e-7."""
    y_true, y_pred = as_pair(y_true, y_pred)
    logs = [ops.log(ops.maximum(y, EPSILON) + 1.0) for y in (y_pred, y_true)]
    return ops.mean(ops.square(logs[0] - logs[1]), -1)


@one_graph_function
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between the two along axis, negated: -1 where they point one way."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return -ops.sum(ops.normalize(y_true, axis) * ops.normalize(y_pred, axis), axis)


@one_graph_function
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Mean over the last axis of `e^2 / 2` where `|e| <= delta`, else `delta |e| - delta^2 / 2`."""
    y_true, y_pred = as_pair(y_true, y_pred)
    error = y_pred - y_true
    size = ops.absolute(error)
    linear = delta * size - 0.5 * delta**2
    return ops.mean(ops.where(size <= delta, 0.5 * ops.square(error), linear), -1)


@one_graph_function
def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """`mean(log(cosh(y_pred - y_true)))` over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    error = y_pred - y_true
    # log((e^x + e^-x) / 2) = x + log(1 + e^-2x) - log 2, which does not overflow
    return ops.mean(error + ops.softplus(error * -2.0) - math.log(2.0), -1)


class MeanSquaredError(FunctionLoss):
    """`mean((y_true - y_pred) ** 2)`."""

    function = staticmethod(mean_squared_error)
    default_name = "mean_squared_error"


class MeanAbsoluteError(FunctionLoss):
    """`mean(|y_true - y_pred|)`."""

    function = staticmethod(mean_absolute_error)
    default_name = "mean_absolute_error"


class MeanAbsolutePercentageError(FunctionLoss):
    """`100 * mean(|(y_true - y_pred) / y_true|)`."""

    function = staticmethod(mean_absolute_percentage_error)
    default_name = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(FunctionLoss):
    """`mean((log(y_true + 1) - log(y_pred + 1)) ** 2)`."""

    function = staticmethod(mean_squared_logarithmic_error)
    default_name = "mean_squared_logarithmic_error"


class LogCosh(FunctionLoss):
    """`mean(log(cosh(y_pred - y_true)))`."""

    function = staticmethod(log_cosh)
    default_name = "log_cosh"


class CosineSimilarity(FunctionLoss):
    """The negative cosine similarity along axis."""

    function = staticmethod(cosine_similarity)
    default_name = "cosine_similarity"

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = axis


class Huber(FunctionLoss):
    """Squared error up to delta, linear beyond (Huber, 1964)."""

    function = staticmethod(huber)
    default_name = "huber_loss"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = delta
