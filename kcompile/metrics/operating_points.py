"""The best of one rate where another is high enough."""

from __future__ import annotations

from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.losses.calling import one_graph
from kcompile.metrics.confusion import Confusion, Thresholds

#: Each rate by name: the cell that it is a part of itself and another.
_RATES = {
    "sensitivity": ("true_positives", "false_negatives"),
    "recall": ("true_positives", "false_negatives"),
    "specificity": ("true_negatives", "false_positives"),
    "precision": ("true_positives", "false_positives"),
}


class _OperatingPoint(Confusion):
    """The greatest `wanted` among the thresholds at which `required` is at least `value`."""

    wanted: ClassVar[str]
    required: ClassVar[str]

    def __init__(
        self,
        value: float,
        num_thresholds: int,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        where = f"metric '{name or type(self).__name__}'"
        if not 0 <= value <= 1:
            raise SpecError(f"{self.required} must be in [0, 1], got {value!r}", where=where)
        if num_thresholds <= 0:
            raise SpecError(f"num_thresholds must be positive, got {num_thresholds}", where=where)
        super().__init__(Thresholds.even(num_thresholds), None, class_id, name, dtype)
        self.value = value
        self.num_thresholds = num_thresholds

    @one_graph
    def result(self) -> Any:
        allowed = ops.greater_equal(self.share(*_RATES[self.required]), self.value)
        return ops.max(ops.where(allowed, self.share(*_RATES[self.wanted]), 0.0))


class SensitivityAtSpecificity(_OperatingPoint):
    """The best `TP / (TP + FN)` where `TN / (TN + FP)` is at least `specificity`."""

    wanted, required = "sensitivity", "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity


class SpecificityAtSensitivity(_OperatingPoint):
    """The best `TN / (TN + FP)` where `TP / (TP + FN)` is at least `sensitivity`."""

    wanted, required = "specificity", "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity


class PrecisionAtRecall(_OperatingPoint):
    """The best `TP / (TP + FP)` where `TP / (TP + FN)` is at least `recall`."""

    wanted, required = "precision", "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall


class RecallAtPrecision(_OperatingPoint):
    """The best `TP / (TP + FN)` where `TP / (TP + FP)` is at least `precision`."""

    wanted, required = "recall", "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision
