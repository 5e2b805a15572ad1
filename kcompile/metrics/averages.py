"""Losses as metrics: their means over samples."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile import losses
from kcompile.losses.base import to_same_rank, weight_of
from kcompile.losses.calling import one_graph, one_graph_function
from kcompile.losses.probabilistic import class_numbers
from kcompile.metrics.base import updates
from kcompile.metrics.reductions import FunctionMetric, Mean


class MeanSquaredError(FunctionMetric):
    """The mean of `(y_true - y_pred) ** 2`."""

    function = staticmethod(losses.mean_squared_error)
    default_name = "mean_squared_error"


class MeanAbsoluteError(FunctionMetric):
    """The mean of `|y_true - y_pred|`."""

    function = staticmethod(losses.mean_absolute_error)
    default_name = "mean_absolute_error"


class MeanAbsolutePercentageError(FunctionMetric):
    """The mean of `100 * |(y_true - y_pred) / y_true|`."""

    function = staticmethod(losses.mean_absolute_percentage_error)
    default_name = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(FunctionMetric):
    """The mean of `(log(y_true + 1) - log(y_pred + 1)) ** 2`."""

    function = staticmethod(losses.mean_squared_logarithmic_error)
    default_name = "mean_squared_logarithmic_error"


class LogCoshError(FunctionMetric):
    """The mean of `log(cosh(y_pred - y_true))`."""

    function = staticmethod(losses.log_cosh)
    default_name = "logcosh"


class RootMeanSquaredError(Mean):
    """The square root of the mean of `(y_true - y_pred) ** 2`."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = (ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        y_true, y_pred = to_same_rank(y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    @one_graph
    def result(self) -> Any:
        return ops.sqrt(super().result())


@one_graph_function
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between the two along axis: 1 where they point one way."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(FunctionMetric):
    """The mean cosine of the angle between labels and predictions along axis."""

    function = staticmethod(cosine_similarity)
    default_name = "cosine_similarity"

    def __init__(self, name: str | None = None, dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.axis = axis


class Hinge(FunctionMetric):
    """The mean of `max(1 - y_true * y_pred, 0)`."""

    function = staticmethod(losses.hinge)
    default_name = "hinge"


class SquaredHinge(FunctionMetric):
    """The mean of `max(1 - y_true * y_pred, 0) ** 2`."""

    function = staticmethod(losses.squared_hinge)
    default_name = "squared_hinge"


class CategoricalHinge(FunctionMetric):
    """The mean of `max(score of the best wrong class - score of the right one + 1, 0)`."""

    function = staticmethod(losses.categorical_hinge)
    default_name = "categorical_hinge"


class KLDivergence(FunctionMetric):
    """The mean of `sum(y_true * log(y_true / y_pred))`."""

    function = staticmethod(losses.kl_divergence)
    default_name = "kl_divergence"


class Poisson(FunctionMetric):
    """The mean of `y_pred - y_true * log(y_pred)`."""

    function = staticmethod(losses.poisson)
    default_name = "poisson"


class BinaryCrossentropy(FunctionMetric):
    """The mean cross-entropy of labels that are 0 or 1."""

    function = staticmethod(losses.binary_crossentropy)
    default_name = "binary_crossentropy"

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing


class CategoricalCrossentropy(FunctionMetric):
    """The mean cross-entropy of one-hot labels."""

    function = staticmethod(losses.categorical_crossentropy)
    default_name = "categorical_crossentropy"

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(FunctionMetric):
    """The mean cross-entropy of labels that are class numbers.

    Labels equal to `ignore_class` have loss 0. As in Keras, they count as samples all the same,
    unless there are sample weights.
    """

    function = staticmethod(losses.sparse_categorical_crossentropy)
    default_name = "sparse_categorical_crossentropy"

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if sample_weight is not None and self.ignore_class is not None:
            labels = class_numbers(y_true, y_pred, self.axis)
            counts = ops.not_equal(labels, self.ignore_class)
            sample_weight = weight_of(sample_weight, counts, self.dtype, "sum")
        super().update_state(y_true, y_pred, sample_weight)
