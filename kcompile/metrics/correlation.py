"""How far predictions go along with labels."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.losses.base import to_same_rank
from kcompile.losses.calling import one_graph_function
from kcompile.metrics.reductions import FunctionMetric

_EPSILON = 1e-7


def _pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    y_pred = ops.convert_to_tensor(y_pred)
    return to_same_rank(ops.convert_to_tensor(y_true, y_pred.dtype), y_pred)


@one_graph_function
def pearson_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """Pearson's correlation coefficient along axis: 1 where one is linear in the other."""
    standardized = []
    for y in _pair(y_true, y_pred):
        centered = y - ops.mean(y, axis, True)
        standardized.append(centered / ops.std(centered, axis, True))
    return ops.mean(standardized[0] * standardized[1], axis)


@one_graph_function
def concordance_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """Lin's concordance coefficient along axis: 1 where labels and predictions are equal.

    The covariance is taken about the mean of the predictions alone, as Keras has it, which comes to
    the same: the deviations of the predictions sum to 0.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    mean_true, mean_pred = ops.mean(y_true, axis, True), ops.mean(y_pred, axis, True)
    variances = ops.var(y_true - mean_true, axis, True) + ops.var(y_pred - mean_pred, axis, True)
    covariance = (y_true - mean_pred) * (y_pred - mean_pred)
    spread = variances + ops.square(mean_true - mean_pred)
    return ops.mean(2.0 * covariance / (spread + _EPSILON), axis)


class PearsonCorrelation(FunctionMetric):
    """The mean of Pearson's correlation coefficient along axis."""

    function = staticmethod(pearson_correlation)
    default_name = "pearson_correlation"

    def __init__(
        self, name: str | None = "pearson_correlation", dtype: Any = None, axis: Any = -1
    ) -> None:
        super().__init__(name, dtype)
        self.axis = axis


class ConcordanceCorrelation(FunctionMetric):
    """The mean of Lin's concordance coefficient along axis."""

    function = staticmethod(concordance_correlation)
    default_name = "concordance_correlation"

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: Any = -1
    ) -> None:
        super().__init__(name, dtype)
        self.axis = axis
