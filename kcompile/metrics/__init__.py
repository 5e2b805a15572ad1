"""Metrics, by Keras's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.losses import (
    Loss,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    label_kind,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from kcompile.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from kcompile.metrics.area import AUC
from kcompile.metrics.averages import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from kcompile.metrics.base import Metric
from kcompile.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from kcompile.metrics.correlation import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from kcompile.metrics.operating_points import (
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from kcompile.metrics.overlap import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from kcompile.metrics.reductions import Mean, MeanMetricWrapper, Sum
from kcompile.metrics.scores import F1Score, FBetaScore, R2Score
from kcompile.ops import configs
from kcompile.ops.naming import snake_case

#: The closed table in which class names of files are looked up.
METRICS: dict[str, type[Metric]] = {
    name: value
    for name, value in globals().items()
    if isinstance(value, type)
    and issubclass(value, Metric)
    and value not in (Metric, MeanMetricWrapper)
}
_ALIASES: dict[str, type[Metric]] = {
    "bce": BinaryCrossentropy,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
}
#: What a string may be: a class's name, that in snake_case, or an alias.
_NAMES: dict[str, type[Metric]] = {
    **{snake_case(name): cls for name, cls in METRICS.items()},
    **_ALIASES,
    **{alias.upper(): cls for alias, cls in _ALIASES.items()},
    **METRICS,
}
_ACCURACY_BY_SHAPE = ("accuracy", "acc")
_CROSSENTROPY_BY_SHAPE = ("crossentropy", "ce")
_ACCURACIES: dict[str, type[Metric]] = {
    "binary": BinaryAccuracy,
    "sparse": SparseCategoricalAccuracy,
    "categorical": CategoricalAccuracy,
}
_CROSSENTROPIES: dict[str, Callable[..., Metric]] = {
    "binary": BinaryCrossentropy,
    "sparse": SparseCategoricalCrossentropy,
    "categorical": CategoricalCrossentropy,
}


def get(identifier: Any) -> Metric | None:
    """The metric that a name, config dict, class, instance or function stands for; None for None.

    Raises:
        SpecError: it stands for none, or `resolve` is needed for it.
    """
    if identifier is None or isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        return _make(_find(identifier, {}))
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return _make(identifier)
    if callable(identifier) and not isinstance(identifier, type):
        return MeanMetricWrapper(identifier, name=_name_of(identifier))
    raise SpecError(
        f"{identifier!r} is not a metric",
        hint="Pass a name, a config dict, a Metric or a function of (y_true, y_pred)",
    )


def _name_of(function: Callable[..., Any]) -> str:
    if isinstance(function, Loss):
        return function.name
    return snake_case(getattr(function, "__name__", type(function).__name__))


def resolve(
    identifier: Any,
    loss: Any,
    y_true_shape: Sequence[int | None],
    y_pred_shape: Sequence[int | None],
) -> Metric:
    """The metric for labels and predictions of these shapes, with its name in logs.

    `accuracy` and `acc`, `crossentropy` and `ce` are binary for one prediction per sample, sparse
    for labels without an axis of classes, else categorical. A metric given by a string goes by that
    string.

    Args:
        identifier: as in `get`.
        loss: of the same output; a cross-entropy takes logits if this one does.
        y_true_shape, y_pred_shape: with the batch; None for a size that is not a number.

    Raises:
        SpecError: there is no such metric.
    """
    metric = _by_shape(identifier, loss, y_true_shape, y_pred_shape) or get(identifier)
    if metric is None:
        raise SpecError("None is not a metric")
    if isinstance(identifier, str):
        metric.name = identifier
    metric.build(y_true_shape, y_pred_shape)
    return metric


def _by_shape(
    identifier: Any,
    loss: Any,
    y_true_shape: Sequence[int | None],
    y_pred_shape: Sequence[int | None],
) -> Metric | None:
    lowered = identifier.lower() if isinstance(identifier, str) else None
    if lowered in _ACCURACY_BY_SHAPE:
        return _ACCURACIES[label_kind(y_true_shape, y_pred_shape)]()
    if lowered in _CROSSENTROPY_BY_SHAPE:
        make = _CROSSENTROPIES[label_kind(y_true_shape, y_pred_shape)]
        return make(from_logits=bool(getattr(loss, "from_logits", False)))
    return None


def serialize(metric: Metric) -> dict[str, Any]:
    """The config dict from which `deserialize` makes the metric again.

    Raises:
        SpecError: the metric is a plain function.
    """
    return configs.serialize(metric, "keras.metrics", METRICS)


def deserialize(
    config: Mapping[str, Any] | str, custom_objects: Mapping[str, type] | None = None
) -> Metric:
    """The metric that a config dict describes.

    Raises:
        SpecError: the class is unknown, or a config key is.
    """
    if isinstance(config, str):
        return _make(_find(config, custom_objects or {}))
    if config.get("class_name") == "function" and isinstance(config.get("config"), str):
        return _make(_find(config["config"], {}))
    name, arguments = configs.open_envelope(config, "metric")
    cls = _find(name, custom_objects or {})
    return configs.construct(cls, arguments, "metric")


def _make(cls: type[Metric]) -> Metric:
    """The metric with default arguments; a SpecError if it needs some."""
    return configs.construct(cls, {}, "metric")


def _find(name: str, custom_objects: Mapping[str, type]) -> type[Metric]:
    table = {**_NAMES, **custom_objects}
    if name in (*_ACCURACY_BY_SHAPE, *_CROSSENTROPY_BY_SHAPE):
        raise SpecError(
            f"the metric '{name}' depends on the shapes of labels and predictions",
            hint="Pass it to compile, or name binary_, categorical_ or sparse_categorical_",
        )
    return configs.find_class(name, table, "metric")


__all__ = [
    "AUC",
    "METRICS",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pearson_correlation",
    "poisson",
    "resolve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]
