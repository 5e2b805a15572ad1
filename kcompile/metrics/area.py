"""The area under a curve of two rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.losses.calling import one_graph
from kcompile.metrics.base import Metric, updates
from kcompile.metrics.confusion import CELLS, Thresholds, count_decisions
from kcompile.ops.variable import Variable

_CURVES = ("ROC", "PR", "PRGAIN")
_SUMMATION_METHODS = ("interpolation", "minoring", "majoring")
#: How far the first and the last threshold lie outside of [0, 1], so that rounding is no matter.
_MARGIN = 1e-7


class AUC(Metric):
    """The area under a curve, from counts at thresholds.

    Args:
        num_thresholds: how many, from 0 to 1.
        curve: `ROC` (true by false positive rate), `PR` (precision by recall) or `PRGAIN`
            (their gains: Flach and Kull, 2015).
        summation_method: the height between two thresholds is the mean of both (`interpolation`;
            for `PR` the counts are interpolated: Davis and Goadrich, 2006), the lower (`minoring`)
            or the higher (`majoring`).
        name: its key in logs.
        dtype: element type of the result.
        thresholds: in (0, 1), instead of num_thresholds.
        multi_label: the mean of the areas of the columns of `[N, L]`; otherwise all elements
            count together.
        num_labels: L, where it is to be known before the data.
        label_weights: L weights: of the areas with `multi_label`, else of the elements.
        from_logits: whether the sigmoid of predictions has still to be taken.

    Raises:
        SpecError: an argument is out of range.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        where = f"metric '{self.name}'"
        if str(curve).upper() not in _CURVES:
            raise SpecError(f"curve is one of {_CURVES}, got {curve!r}", where=where)
        if str(summation_method).lower() not in _SUMMATION_METHODS:
            raise SpecError(
                f"summation_method is one of {_SUMMATION_METHODS}, got {summation_method!r}",
                where=where,
            )
        if num_labels is not None and not multi_label:
            raise SpecError("num_labels is for multi_label=True", where=where)
        self._thresholds = _with_ends(num_thresholds, thresholds, where)
        self.num_thresholds = len(self._thresholds.values)
        self.curve = curve.upper()
        self.summation_method = summation_method.lower()
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else list(label_weights)
        self.from_logits = from_logits
        self._has_listed_thresholds = thresholds is not None
        self._counts: dict[str, Variable] = {}
        if num_labels is not None or not multi_label:
            self._make_counts(num_labels)

    @property
    def thresholds(self) -> list[float]:
        """Where predictions begin to be positive, and the two ends."""
        return list(self._thresholds.values)

    def _make_counts(self, num_labels: int | None) -> None:
        labels = () if num_labels is None else (num_labels,)
        for cell in CELLS:
            shape = (self.num_thresholds, *labels)
            self._counts[cell] = self.add_variable(shape, name=cell)

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        if self._counts:
            return
        if len(y_pred_shape) != 2 or y_pred_shape[1] is None:
            raise ShapeError(
                f"multi_label needs predictions [N, L], L a number, got {list(y_pred_shape)}",
                where=f"metric '{self.name}'",
            )
        self._make_counts(y_pred_shape[1])

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        self.build((), y_pred.shape)
        count_decisions(
            self._counts,
            y_true,
            ops.sigmoid(y_pred) if self.from_logits else y_pred,
            self._thresholds,
            sample_weight,
            by_label=self.multi_label,
            label_weights=None if self.multi_label else self._weights_of_labels(),
        )

    def _weights_of_labels(self) -> Any:
        return None if self.label_weights is None else ops.array(self.label_weights, "float32")

    @one_graph
    def result(self) -> Any:
        if not self._counts:
            raise SpecError("has seen no data", where=f"metric '{self.name}'")
        if (self.curve, self.summation_method) == ("PR", "interpolation"):
            areas = self._interpolated_precision()
        else:
            x, y = self._curve()
            low, high = y[1:], y[:-1]
            heights = {
                "interpolation": lambda: (low + high) / 2.0,
                "minoring": lambda: ops.minimum(low, high),
                "majoring": lambda: ops.maximum(low, high),
            }[self.summation_method]()
            areas = (x[:-1] - x[1:]) * heights
        if not self.multi_label:
            return ops.sum(areas)
        by_label, weights = ops.sum(areas, 0), self._weights_of_labels()
        if weights is None:
            return ops.mean(by_label)
        return ops.divide_no_nan(ops.sum(by_label * weights), ops.sum(weights))

    def _curve(self) -> tuple[Any, Any]:
        """x and y at each threshold, x falling."""
        right, false, avoided, missed = (self._counts[cell].value for cell in CELLS)
        recall = ops.divide_no_nan(right, right + missed)
        if self.curve == "ROC":
            return ops.divide_no_nan(false, false + avoided), recall
        if self.curve == "PR":
            return recall, ops.divide_no_nan(right, right + false)
        odds = ops.divide_no_nan(right + missed, avoided + false)
        none_found = ops.equal(right, 0.0)
        recall_gain = 1.0 - odds * ops.divide_no_nan(missed, right)
        precision_gain = 1.0 - odds * ops.divide_no_nan(false, right)
        recall_gain = ops.maximum(ops.where(none_found, 0.0, recall_gain), 0.0)
        return recall_gain, ops.where(none_found, 1.0, precision_gain)

    def _interpolated_precision(self) -> Any:
        """Areas under precision by recall, TP and predicted positives linear in between.

        With `TP = intercept + slope * P` between two thresholds, the integral of `TP / P` by TP is
        `slope * (dTP + intercept * log(P_high / P_low))`.
        """
        right, false, _, missed = (self._counts[cell].value for cell in CELLS)
        predicted = right + false
        d_right = right[:-1] - right[1:]
        d_predicted = predicted[:-1] - predicted[1:]
        slope = ops.divide_no_nan(d_right, ops.maximum(d_predicted, 0.0))
        intercept = right[1:] - slope * predicted[1:]
        both = ops.logical_and(predicted[:-1] > 0.0, predicted[1:] > 0.0)
        ratio = ops.where(both, ops.divide_no_nan(predicted[:-1], predicted[1:]), 1.0)
        labels = ops.maximum(right[1:] + missed[1:], 0.0)
        return ops.divide_no_nan(slope * (d_right + intercept * ops.log(ratio)), labels)

    def get_config(self) -> dict[str, Any]:
        names = ("curve", "summation_method", "multi_label", "num_labels", "label_weights")
        config = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            **{name: getattr(self, name) for name in names},
            "from_logits": self.from_logits,
        }
        if self._has_listed_thresholds:
            config["thresholds"] = self.thresholds[1:-1]
        return config


def _with_ends(num_thresholds: int, thresholds: Sequence[float] | None, where: str) -> Thresholds:
    """The thresholds with one before the first and one behind the last.

    Raises:
        SpecError: there are too few.
    """
    if thresholds is not None:
        inner = sorted(float(threshold) for threshold in thresholds)
        are_even = Thresholds.of([0.0, *inner, 1.0]).are_even
    elif num_thresholds > 1:
        inner, are_even = list(Thresholds.even(num_thresholds).values[1:-1]), True
    else:
        raise SpecError(f"num_thresholds must be above 1, got {num_thresholds}", where=where)
    return Thresholds((-_MARGIN, *inner, 1 + _MARGIN), are_even)
