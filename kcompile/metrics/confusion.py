"""Counts of right and wrong decisions at thresholds, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.losses.base import to_same_rank
from kcompile.losses.calling import one_graph
from kcompile.metrics.base import Metric, updates
from kcompile.ops.configs import argument_names
from kcompile.ops.trace import emit
from kcompile.ops.variable import Variable

Thresholds = float | Sequence[float] | None

#: The four cells by name: whether the label is positive, whether the prediction is.
_CELLS = {
    "true_positives": (True, True),
    "false_positives": (False, True),
    "true_negatives": (False, False),
    "false_negatives": (True, False),
}


def parse_thresholds(thresholds: Thresholds, where: str) -> list[float]:
    """Thresholds as a list; 0.5 by default.

    Raises:
        SpecError: one is not in [0, 1].
    """
    default = 0.5 if thresholds is None else thresholds
    listed = [default] if isinstance(default, (int, float)) else list(default)
    if any(threshold is None or not 0 <= threshold <= 1 for threshold in listed):
        raise SpecError(f"thresholds must be in [0, 1], got {thresholds!r}", where=where)
    return listed


def count_decisions(
    variables: dict[str, Variable],
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    class_id: int | None,
    sample_weight: Any,
) -> None:
    """Add to each variable `[T]`, named by its cell, the weights of a batch that fall into it.

    Labels and predictions have any shape, or `[..., C]` with `class_id`, which picks one class. A
    prediction is positive above the threshold.
    """
    y_pred, y_true = to_same_rank(ops.cast(y_pred, "float32"), ops.cast(y_true, "float32"))
    if sample_weight is not None:
        weight = ops.expand_dims(ops.cast(sample_weight, "float32"), -1)
        _, sample_weight = to_same_rank(y_true, weight, expand_rank_1=False)
    if class_id is not None:
        y_true, y_pred = (y[..., class_id : class_id + 1] for y in (y_true, y_pred))
    if sample_weight is None:
        weight = ops.ones_like(y_pred)
    else:
        weight = ops.broadcast_to(sample_weight, ops.shape(y_pred))
    label, predicted, weight = (_as_row(y) for y in (ops.cast(y_true, "bool"), y_pred, weight))
    above = ops.greater(predicted, ops.reshape(list(thresholds), (len(thresholds), 1)))
    for cell, variable in variables.items():
        label_holds, prediction_holds = _CELLS[cell]
        inside = ops.logical_and(
            label if label_holds else ops.logical_not(label),
            above if prediction_holds else ops.logical_not(above),
        )
        variable.assign_add(ops.sum(ops.where(inside, weight, 0.0), 1))


def _as_row(x: Any) -> Any:
    """`[1, M]`, M the number of elements."""
    return emit(ir.Reshape((1, x.type.size)), x)


class _Confusion(Metric):
    """A metric with one count per threshold for some of the cells."""

    cells: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        thresholds: Thresholds,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(dtype, name)
        self.init_thresholds = thresholds
        self.thresholds = parse_thresholds(thresholds, f"metric '{self.name}'")
        self.class_id = class_id
        self._counts = {
            cell: self.add_variable((len(self.thresholds),), name=self.variable_name(cell))
            for cell in self.cells
        }

    def variable_name(self, cell: str) -> str:
        return cell

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        count_decisions(self._counts, y_true, y_pred, self.thresholds, self.class_id, sample_weight)

    def at_thresholds(self, values: Any) -> Any:
        """The values `[T]`, or the only one."""
        return values[0] if len(self.thresholds) == 1 else values

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in argument_names(type(self)):
            if name not in config:
                config[name] = self.init_thresholds if name == "thresholds" else getattr(self, name)
        return config


class _Count(_Confusion):
    """The number of decisions in one cell."""

    def __init__(
        self, thresholds: Thresholds = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(thresholds, None, name, dtype)

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


class _Ratio(_Confusion):
    """True positives by the sum of two cells."""

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, class_id, name, dtype)
        if top_k is not None:
            raise NotImplementedError(f"metric '{self.name}': top_k is not there yet")
        self.top_k = top_k

    @one_graph
    def result(self) -> Any:
        first, second = (self._counts[cell].value for cell in self.cells)
        return self.at_thresholds(ops.divide_no_nan(first, first + second))


class Precision(_Ratio):
    """The part of positive predictions that are right."""

    cells = ("true_positives", "false_positives")


class Recall(_Ratio):
    """The part of positive labels that are predicted."""

    cells = ("true_positives", "false_negatives")
