"""Scores with one count per class: F-scores and R2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.losses.base import to_same_rank
from kcompile.losses.calling import one_graph
from kcompile.metrics.base import Metric, updates
from kcompile.ops.trace import emit
from kcompile.ops.variable import Variable

EPSILON = 1e-7

_AVERAGES = (None, "micro", "macro", "weighted")


def check_columns(
    y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None], where: str
) -> int:
    """The number of columns of two `[N, C]`.

    Raises:
        ShapeError: ranks are not 2, or C is not a number.
    """
    columns = y_pred_shape[-1] if len(y_true_shape) == len(y_pred_shape) == 2 else None
    if not isinstance(columns, int):
        raise ShapeError(
            "needs labels and predictions of shape [N, C], C a number,"
            f" got {list(y_true_shape)} and {list(y_pred_shape)}",
            where=where,
        )
    return columns


class FBetaScore(Metric):
    """`(1 + beta^2) * precision * recall / (beta^2 * precision + recall)` of `[N, C]`.

    Args:
        average: None for one score per class; `micro` counts all classes together, `macro` is the
            mean of the scores, `weighted` that by the classes' frequency.
        beta: weight of recall.
        threshold: a prediction is positive above it; without, the greatest of each row is.

    Raises:
        SpecError: an argument is out of range.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        where = f"metric '{self.name}'"
        if average not in _AVERAGES:
            raise SpecError(f"average is one of {_AVERAGES}, got {average!r}", where=where)
        if not isinstance(beta, float) or beta <= 0:
            raise SpecError(f"beta must be a positive float, got {beta!r}", where=where)
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold <= 1):
            raise SpecError(f"threshold must be a float in (0, 1], got {threshold!r}", where=where)
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._counts: dict[str, Variable] = {}

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        if self._counts:
            return
        columns = check_columns(y_true_shape, y_pred_shape, f"metric '{self.name}'")
        shape = () if self.average == "micro" else (columns,)
        for name in (
            "true_positives",
            "false_positives",
            "false_negatives",
            "intermediate_weights",
        ):
            self._counts[name] = self.add_variable(shape, dtype=self.dtype, name=name)

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = (ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        self.build(y_true.shape, y_pred.shape)
        predicted = ops.cast(self._positive(y_pred), self.dtype)
        axis = None if self.average == "micro" else 0
        batch = {
            "true_positives": predicted * y_true,
            "false_positives": predicted * (1 - y_true),
            "false_negatives": (1 - predicted) * y_true,
            "intermediate_weights": y_true,
        }
        for name, values in batch.items():
            if sample_weight is not None:
                weight = ops.convert_to_tensor(sample_weight, self.dtype)
                values = values * ops.expand_dims(weight, 1)
            self._counts[name].assign_add(ops.sum(values, axis))

    def _positive(self, y_pred: Any) -> Any:
        if self.threshold is not None:
            return ops.greater(y_pred, self.threshold)
        # A row of zeros has no greatest element that would be a decision.
        is_greatest = ops.greater_equal(y_pred, ops.max(y_pred, -1, True))
        return ops.logical_and(is_greatest, ops.greater(ops.absolute(y_pred), 1e-9))

    @one_graph
    def result(self) -> Any:
        if not self._counts:
            raise SpecError("has seen no data", where=f"metric '{self.name}'")
        right, false, missed, frequency = (variable.value for variable in self._counts.values())
        precision = right / (right + false + EPSILON)
        recall = right / (right + missed + EPSILON)
        ratio = precision * recall / (self.beta**2 * precision + recall + EPSILON)
        score = ratio * (1 + self.beta**2)
        if self.average is None:
            return score
        if self.average == "weighted":
            return ops.sum(score * (frequency / (ops.sum(frequency) + EPSILON)))
        return ops.mean(score)

    def get_config(self) -> dict[str, Any]:
        arguments = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **arguments}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config


class R2Score(Metric):
    """`1 - sum((y_true - y_pred)^2) / sum((y_true - mean)^2)` of `[N, C]`.

    Args:
        class_aggregation: `uniform_average` of the columns, `variance_weighted_average`, or None
            for one score per column.
        num_regressors: p of the adjusted score, `1 - (1 - score) * (n - 1) / (n - p - 1)`; 0 for
            the plain one. n counts elements, as in Keras. Where it is not above `p + 1`, the score
            stays plain.

    Raises:
        SpecError: an argument is out of range.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        where = f"metric '{self.name}'"
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise SpecError(f"class_aggregation is not {class_aggregation!r}", where=where)
        if num_regressors < 0:
            raise SpecError(f"num_regressors is not negative, got {num_regressors}", where=where)
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._sums: dict[str, Variable] = {}

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        if self._sums:
            return
        columns = check_columns(y_true_shape, y_pred_shape, f"metric '{self.name}'")
        for name in ("squared_sum", "sum", "residual", "count"):
            self._sums[name] = self.add_variable((columns,), name=name)

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = (ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        y_true, y_pred = to_same_rank(y_true, y_pred)
        self.build(y_true.shape, y_pred.shape)
        weight = ops.convert_to_tensor(1.0 if sample_weight is None else sample_weight, self.dtype)
        if len(weight.shape) == 1:
            weight = ops.expand_dims(weight, 1)
        weight = ops.broadcast_to(weight, ops.shape(y_true))
        batch = {
            "squared_sum": y_true * y_true * weight,
            "sum": y_true * weight,
            "residual": ops.square(y_true - y_pred) * weight,
            "count": weight,
        }
        for name, values in batch.items():
            self._sums[name].assign_add(ops.sum(values, 0))
        self.num_samples.assign_add(emit(ir.DimSize(y_true.type.size, DType.FLOAT32)))

    @one_graph
    def result(self) -> Any:
        if not self._sums:
            raise SpecError("has seen no data", where=f"metric '{self.name}'")
        squared_sum, total, residual, count = (variable.value for variable in self._sums.values())
        variation = squared_sum - total * (total / count)
        score = 1 - residual / variation
        is_infinite = ops.equal(ops.absolute(score), float("inf"))
        score = ops.where(is_infinite, 0.0, score)
        if self.class_aggregation == "uniform_average":
            score = ops.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.sum(variation * score) / ops.sum(variation)
        return self._adjusted(score) if self.num_regressors else score

    def _adjusted(self, score: Any) -> Any:
        num, freedom = self.num_samples.value, self.num_samples.value - (self.num_regressors + 1.0)
        adjusted = 1.0 - (1.0 - score) * (num - 1.0) / freedom
        return ops.where(ops.greater(freedom, 0.0), adjusted, score)

    def get_config(self) -> dict[str, Any]:
        arguments = {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
        return {**super().get_config(), **arguments}
