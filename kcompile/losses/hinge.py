"""Hinge losses: of predictions that are scores around 0."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.losses.base import FunctionLoss
from kcompile.losses.calling import one_graph_function


def _to_signs(y_true: Any) -> Any:
    """Labels as -1 and 1, if all are 0 or 1."""
    are_binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(are_binary, 2.0 * y_true - 1.0, y_true)


def _shortfall(y_true: Any, y_pred: Any) -> Any:
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = _to_signs(ops.cast(y_true, y_pred.dtype))
    return ops.maximum(1.0 - y_true * y_pred, 0.0)


@one_graph_function
def hinge(y_true: Any, y_pred: Any) -> Any:
    """`mean(max(1 - y_true * y_pred, 0))` over the last axis, labels -1 and 1 (or 0 and 1)."""
    return ops.mean(_shortfall(y_true, y_pred), -1)


@one_graph_function
def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """`mean(max(1 - y_true * y_pred, 0) ** 2)` over the last axis, labels as in `hinge`."""
    return ops.mean(ops.square(_shortfall(y_true, y_pred)), -1)


@one_graph_function
def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """`max(max((1 - y_true) * y_pred) - sum(y_true * y_pred) + 1, 0)` along the last axis."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    right = ops.sum(y_true * y_pred, -1)
    wrong = ops.max((1.0 - y_true) * y_pred, -1)
    return ops.maximum(wrong - right + 1.0, 0.0)


class Hinge(FunctionLoss):
    """`mean(max(1 - y_true * y_pred, 0))`."""

    function = staticmethod(hinge)
    default_name = "hinge"


class SquaredHinge(FunctionLoss):
    """`mean(max(1 - y_true * y_pred, 0) ** 2)`."""

    function = staticmethod(squared_hinge)
    default_name = "squared_hinge"


class CategoricalHinge(FunctionLoss):
    """`max(score of the best wrong class - score of the right one + 1, 0)`."""

    function = staticmethod(categorical_hinge)
    default_name = "categorical_hinge"
