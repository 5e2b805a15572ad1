"""Counts of right and wrong decisions at thresholds, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.losses.base import to_same_rank
from kcompile.losses.calling import one_graph
from kcompile.metrics.base import Metric, updates
from kcompile.ops.configs import argument_names
from kcompile.ops.limits import check_numbers
from kcompile.ops.trace import emit
from kcompile.ops.variable import Variable

Numbers = float | Sequence[float] | None

#: The four cells by name: whether the label is positive, whether the prediction is.
CELLS = {
    "true_positives": (True, True),
    "false_positives": (False, True),
    "true_negatives": (False, False),
    "false_negatives": (True, False),
}

#: Below every prediction. With `top_k` it is the threshold, and what the others are set to.
_LOWEST = -1e10


@dataclass(frozen=True)
class Thresholds:
    """Where predictions begin to be positive.

    Attributes:
        values: in ascending order.
        are_even: whether they divide [0, 1] into parts of one size. Predictions are then counted
            by part, as in Keras, which rounds those next to a threshold in its way.
    """

    values: tuple[float, ...]
    are_even: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> Thresholds:
        """Thresholds of which it is not known whether they are even."""
        even = np.linspace(0, 1, len(values), dtype=np.float32)
        return cls(tuple(values), len(values) > 2 and np.allclose(values, even, atol=1e-7))

    @classmethod
    def even(cls, number: int) -> Thresholds:
        """So many from 0 to 1; a single one is 0.5."""
        check_numbers(number)
        if number == 1:
            return cls((0.5,), False)
        return cls(tuple(i / (number - 1) for i in range(number)), True)

    @property
    def is_outside(self) -> bool:
        """Whether the first and the last lie a little outside of [0, 1]."""
        return self.values[0] < 0 or self.values[-1] > 1


def parse_thresholds(thresholds: Numbers, where: str, default: float = 0.5) -> list[float]:
    """Thresholds as a list.

    Raises:
        SpecError: one is not in [0, 1].
    """
    if thresholds is None:
        return [default]
    listed = [thresholds] if isinstance(thresholds, (int, float)) else list(thresholds)
    if any(threshold is None or not 0 <= threshold <= 1 for threshold in listed):
        raise SpecError(f"thresholds must be in [0, 1], got {thresholds!r}", where=where)
    return listed


def count_decisions(
    variables: dict[str, Variable],
    y_true: Any,
    y_pred: Any,
    thresholds: Thresholds,
    sample_weight: Any,
    top_k: int | None = None,
    class_id: int | None = None,
    by_label: bool = False,
    label_weights: Any = None,
) -> None:
    """Add to each variable, named by its cell, the weights of a batch that fall into it.

    Args:
        variables: `[T]`; `[T, L]` with `by_label`.
        y_true, y_pred: of any shape; `[N, L]` with `by_label`. A prediction is positive above the
            threshold.
        thresholds: T of them.
        sample_weight: of the samples or elements; None for 1.
        top_k: takes only the k greatest predictions along the last axis for positive.
        class_id: picks one class of the last axis.
        by_label: count each label by itself.
        label_weights: `[L]`, further weights along the last axis.
    """
    y_pred, y_true = to_same_rank(ops.cast(y_pred, "float32"), ops.cast(y_true, "float32"))
    if sample_weight is not None:
        weight = ops.expand_dims(ops.cast(sample_weight, "float32"), -1)
        _, sample_weight = to_same_rank(y_true, weight, expand_rank_1=False)
    if top_k is not None:
        y_pred = _only_greatest(y_pred, top_k)
    if class_id is not None:
        if len(y_pred.shape) < 2:
            raise ShapeError(f"class_id needs predictions [N, C], got {list(y_pred.shape)}")
        y_true, y_pred = (y[..., class_id : class_id + 1] for y in (y_true, y_pred))
    weight = ops.ones_like(y_pred)
    for factor in (sample_weight, label_weights):
        weight = weight if factor is None else weight * factor
    if weight.type.shape != y_pred.type.shape:
        raise ShapeError(f"sample_weight has to fit predictions {list(y_pred.shape)}")
    label, y_pred, weight = (
        y if by_label else emit(ir.Reshape((y.type.size, 1)), y)
        for y in (ops.cast(y_true, "bool"), y_pred, weight)
    )
    count = _count_by_part if thresholds.are_even else _count_by_comparison
    for cell, counts in count(list(variables), label, y_pred, weight, thresholds).items():
        variable = variables[cell]
        variable.assign_add(ops.reshape(counts, variable.shape))


def _only_greatest(y_pred: Any, k: int) -> Any:
    """The k greatest along the last axis, the others below every threshold."""
    places = ops.top_k(y_pred, k)[1]
    chosen = ops.any(emit(ir.OneHot(y_pred.shape[-1], DType.BOOL), places), -2)
    return ops.where(chosen, y_pred, _LOWEST)


def _count_by_comparison(
    cells: Sequence[str], label: Any, y_pred: Any, weight: Any, thresholds: Thresholds
) -> dict[str, Any]:
    """Weights `[T, L]` of each cell, from `[M, L]`: each prediction against each threshold."""
    edges = np.asarray(thresholds.values, np.float32).reshape(-1, 1, 1)
    above = ops.greater(y_pred, edges)
    counts = {}
    for cell in cells:
        label_holds, prediction_holds = CELLS[cell]
        inside = ops.logical_and(
            label if label_holds else ops.logical_not(label),
            above if prediction_holds else ops.logical_not(above),
        )
        counts[cell] = ops.sum(ops.where(inside, weight, 0.0), 1)
    return counts


def _count_by_part(
    cells: Sequence[str], label: Any, y_pred: Any, weight: Any, thresholds: Thresholds
) -> dict[str, Any]:
    """As `_count_by_comparison`: first how many predictions lie between two thresholds."""
    num, num_labels = len(thresholds.values), y_pred.shape[1]
    part = ops.ceil(ops.clip(y_pred, 0.0, 1.0) * float(num - 1)) - 1.0
    if thresholds.is_outside:
        part = ops.relu(part)
    segments = ops.ravel(ops.cast(part, "int32") * num_labels + np.arange(num_labels, dtype="i4"))
    counts = {}
    for holds in (True, False):
        of_label = ops.where(label if holds else ops.logical_not(label), weight, 0.0)
        between = ops.segment_sum(ops.ravel(of_label), segments, num * num_labels)
        between = ops.reshape(between, (num, num_labels))
        positive = ops.flip(ops.cumsum(ops.flip(between, 0), 0), 0)
        counts[holds, True] = positive
        counts[holds, False] = ops.sum(of_label, 0) - positive
    return {cell: counts[CELLS[cell]] for cell in cells}


class Confusion(Metric):
    """A metric with one count per threshold for some of the cells.

    Args:
        thresholds: T of them.
        top_k, class_id: as in `count_decisions`.
        name: its key in logs.
        dtype: element type of the result.
    """

    cells: ClassVar[tuple[str, ...]] = tuple(CELLS)

    def __init__(
        self,
        thresholds: Thresholds,
        top_k: int | None,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(dtype, name)
        self._thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self._counts = {
            cell: self.add_variable((len(thresholds.values),), name=self.variable_name(cell))
            for cell in self.cells
        }

    @property
    def thresholds(self) -> list[float]:
        """Where predictions begin to be positive."""
        return list(self._thresholds.values)

    def variable_name(self, cell: str) -> str:
        return cell

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        count_decisions(
            self._counts,
            y_true,
            y_pred,
            self._thresholds,
            sample_weight,
            self.top_k,
            self.class_id,
        )

    def share(self, part: str, rest: str) -> Any:
        """`part / (part + rest)` of two cells at each threshold; 0 where both are 0."""
        a, b = self._counts[part].value, self._counts[rest].value
        return ops.divide_no_nan(a, a + b)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        own = {name: getattr(self, name) for name in argument_names(type(self))}
        return {**own, **config}


class _AtGivenThresholds(Confusion):
    """With thresholds that the user lists; 0.5 by default, or none but `top_k`."""

    def __init__(
        self,
        thresholds: Numbers,
        top_k: int | None,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        default = 0.5 if top_k is None else _LOWEST
        where = f"metric '{name or type(self).__name__}'"
        listed = parse_thresholds(thresholds, where, default)
        super().__init__(Thresholds.of(listed), top_k, class_id, name, dtype)
        self.init_thresholds = thresholds

    def at_thresholds(self, values: Any) -> Any:
        """The values `[T]`, or the only one."""
        return values[0] if len(self.thresholds) == 1 else values

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class _Count(_AtGivenThresholds):
    """The number of decisions in one cell."""

    def __init__(
        self, thresholds: Numbers = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(thresholds, None, None, name, dtype)

    def variable_name(self, cell: str) -> str:
        return "accumulator"

    @one_graph
    def result(self) -> Any:
        return self.at_thresholds(self._counts[self.cells[0]].value)


class TruePositives(_Count):
    """The number of positive labels that are predicted."""

    cells = ("true_positives",)


class FalsePositives(_Count):
    """The number of negative labels that are predicted positive."""

    cells = ("false_positives",)


class TrueNegatives(_Count):
    """The number of negative labels that are predicted."""

    cells = ("true_negatives",)


class FalseNegatives(_Count):
    """The number of positive labels that are predicted negative."""

    cells = ("false_negatives",)


class _Ratio(_AtGivenThresholds):
    """True positives by the sum of two cells."""

    def __init__(
        self,
        thresholds: Numbers = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, dtype)

    @one_graph
    def result(self) -> Any:
        return self.at_thresholds(self.share(*self.cells))


class Precision(_Ratio):
    """The part of positive predictions that are right."""

    cells = ("true_positives", "false_positives")


class Recall(_Ratio):
    """The part of positive labels that are predicted."""

    cells = ("true_positives", "false_negatives")
