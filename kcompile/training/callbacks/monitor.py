"""What callbacks that wait for a number to improve share."""

from __future__ import annotations

from typing import Any

from kcompile import losses, metrics
from kcompile.ir.errors import SpecError
from kcompile.training.callbacks.base import Callback
from kcompile.training.callbacks.logs import LogDict

_HIGHER_IS_BETTER = frozenset(
    {
        "AUC",
        "Accuracy",
        "BinaryAccuracy",
        "CategoricalAccuracy",
        "ConcordanceCorrelation",
        "CosineSimilarity",
        "FBetaScore",
        "IoU",
        "MeanIoU",
        "PearsonCorrelation",
        "Precision",
        "PrecisionAtRecall",
        "R2Score",
        "Recall",
        "RecallAtPrecision",
        "SensitivityAtSpecificity",
        "SparseCategoricalAccuracy",
        "SparseTopKCategoricalAccuracy",
        "SpecificityAtSensitivity",
        "TopKCategoricalAccuracy",
    }
)
_LOWER_IS_BETTER = frozenset(
    {
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "CategoricalHinge",
        "Hinge",
        "KLDivergence",
        "LogCoshError",
        "MeanAbsoluteError",
        "MeanAbsolutePercentageError",
        "MeanSquaredError",
        "MeanSquaredLogarithmicError",
        "Poisson",
        "RootMeanSquaredError",
        "SparseCategoricalCrossentropy",
        "SquaredHinge",
    }
)


class MonitorCallback(Callback):
    """Base of the callbacks that wait for a number to improve.

    Args:
        monitor: its name in the logs.
        mode: 'min', 'max', or 'auto', which knows losses and the metrics of `kcompile.metrics`.
        min_delta: a smaller change is no improvement.

    Attributes:
        best: the best number so far; None before the first.

    Raises:
        SpecError: there is no such mode.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise SpecError(
                f"mode must be 'auto', 'min' or 'max', got {mode!r}", where=type(self).__name__
            )
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference`; anything is better than None.

        Raises:
            SpecError: the mode is 'auto', and which numbers are better is not known.
        """
        is_maximized = self._is_maximized()
        if reference is None:
            return True
        if is_maximized:
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def _is_maximized(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            return False
        by_log_name = LogDict(zip(self.model.metrics_names, self.model.metrics, strict=True))
        by_own_name = {metric.name: metric for metric in self.model.metrics}
        is_higher_better = _is_higher_better(by_log_name.get(name) or by_own_name.get(name))
        if is_higher_better is None:
            raise SpecError(
                f"whether '{self.monitor}' is better higher or lower is not known",
                where=type(self).__name__,
                hint="Pass mode='max' or mode='min'",
            )
        return is_higher_better


def _is_higher_better(metric: Any) -> bool | None:
    """None where it is not known."""
    if isinstance(metric, metrics.MeanMetricWrapper):
        is_loss = isinstance(metric.fn, losses.Loss) or metric.fn in _LOSS_FUNCTIONS
        return False if is_loss else None
    for cls in type(metric).__mro__:
        if metrics.METRICS.get(cls.__name__) is not cls:
            continue
        if cls.__name__ in _HIGHER_IS_BETTER:
            return True
        if cls.__name__ in _LOWER_IS_BETTER:
            return False
    return None


#: A cosine similarity as a loss is -1 for equal directions, so all of these are better lower.
_LOSS_FUNCTIONS = tuple(
    cls.function for cls in losses.LOSSES.values() if issubclass(cls, losses.FunctionLoss)
)
