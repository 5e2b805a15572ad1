"""Sums and means over batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.losses.base import mask_of, to_same_rank, weight_of
from kcompile.losses.calling import one_graph
from kcompile.metrics.base import Metric, updates
from kcompile.ops.configs import argument_names
from kcompile.ops.trace import emit


def reduce_to_samples(
    values: Any, sample_weight: Any, reduce: Callable[..., Any], dtype: str
) -> tuple[Any, Any]:
    """Values times weights, and the weights, each reduced to one number for each sample.

    Values of a higher rank than the weights are reduced to theirs first.
    """
    values = ops.cast(values, dtype)
    if sample_weight is not None:
        weight = ops.convert_to_tensor(sample_weight, dtype)
        values, weight = to_same_rank(values, weight)
        rank = len(weight.shape)
        if len(values.shape) > rank:
            values = reduce(values, list(range(rank, len(values.shape))))
        weight = ops.broadcast_to(weight, ops.shape(values))
        values = values * weight
        sample_weight = reduce(weight, list(range(1, rank))) if rank > 1 else weight
    if len(values.shape) > 1:
        values = reduce(values, list(range(1, len(values.shape))))
    return values, sample_weight


class Sum(Metric):
    """The sum of values, each times its weight."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), dtype=self.dtype, name="total")

    @updates
    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = reduce_to_samples(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values))

    @one_graph
    def result(self) -> Any:
        return self.total.value


class Mean(Metric):
    """The mean of values, each with its weight."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), dtype=self.dtype, name="total")
        self.count = self.add_variable((), dtype=self.dtype, name="count")

    @updates
    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, weight = reduce_to_samples(values, sample_weight, ops.mean, self.dtype)
        self.total.assign_add(ops.sum(values))
        self.count.assign_add(_num_samples(values) if weight is None else ops.sum(weight))

    @one_graph
    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


def _num_samples(values: Any) -> Any:
    """The size of the first axis, also if it is symbolic; 1 for a scalar."""
    if len(values.shape) == 0:
        return 1
    return emit(ir.DimSize(ops.shape(values)[0], DType.of(values.dtype)))


class MeanMetricWrapper(Mean):
    """The mean of a function of (y_true, y_pred) over samples.

    Args:
        fn: gives one value for each sample (or element).
        name: its key in logs.
        dtype: element type to compute in.
        **kwargs: further arguments of `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, dtype)
        self.fn = fn
        self.fn_arguments = kwargs

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        weight = weight_of(sample_weight, mask_of(y_pred), self.dtype, "sum")
        values = self.fn(y_true, y_pred, **self.fn_arguments)
        super().update_state(values, weight)

    def get_config(self) -> dict[str, Any]:
        raise SpecError(
            f"the function {self.fn!r} cannot be written as a config",
            where=f"metric '{self.name}'",
            hint="Make it a subclass of Metric with get_config",
        )


class FunctionMetric(Mean):
    """The mean of a function, with the arguments that the class keeps under their names."""

    function: ClassVar[Callable[..., Any]]
    default_name: ClassVar[str]

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name or self.default_name, dtype)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the function is called with besides labels and predictions."""
        names = argument_names(type(self))
        return {name: getattr(self, name) for name in names if name not in ("name", "dtype")}

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        weight = weight_of(sample_weight, mask_of(y_pred), self.dtype, "sum")
        values = type(self).function(y_true, y_pred, **self.arguments)
        super().update_state(values, weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.arguments}
