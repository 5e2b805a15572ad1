"""Intersection over union of the regions of classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.losses.calling import one_graph
from kcompile.metrics.base import Metric, updates
from kcompile.ops.configs import argument_names
from kcompile.ops.limits import check_numbers

_EPSILON = 1e-7


class IoU(Metric):
    """The mean over classes of `TP / (TP + FP + FN)`, without classes that nowhere occur.

    Labels and predictions outside [0, num_classes) do not count.

    Args:
        num_classes: how many there are.
        target_class_ids: those that the mean is over.
        name: its key in logs.
        dtype: element type in which weights are summed; int32 by default, which cuts their
            fractions off.
        ignore_class: a label that takes no part.
        sparse_y_true, sparse_y_pred: whether they are class numbers; otherwise the class is where
            the greatest along axis is.
        axis: of the classes.

    Raises:
        SpecError: a target class is not below num_classes.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        check_numbers(len(target_class_ids))
        super().__init__(None, name)
        if max(target_class_ids) >= num_classes:
            raise SpecError(
                f"target_class_ids are below {num_classes}, got {list(target_class_ids)}",
                where=f"metric '{self.name}'",
            )
        self.dtype = DType.of("int32" if dtype in (None, "int") else dtype).keras_name
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.confusion_matrix = self.add_variable(
            (num_classes, num_classes), dtype=self.dtype, name="total_confusion_matrix"
        )

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels = self._classes(y_true, self.sparse_y_true)
        predictions = self._classes(y_pred, self.sparse_y_pred)
        inside = ops.logical_and(self._is_class(labels), self._is_class(predictions))
        if self.ignore_class is not None:
            inside = ops.logical_and(inside, ops.not_equal(labels, self.ignore_class))
        labels, predictions = ops.cast(labels, "int32"), ops.cast(predictions, "int32")
        cells = ops.where(inside, labels * self.num_classes + predictions, -1)
        weight = ops.broadcast_to(self._weight(sample_weight), ops.shape(labels))
        counts = ops.segment_sum(weight, cells, self.num_classes**2)
        shape = self.confusion_matrix.shape
        self.confusion_matrix.assign_add(ops.cast(ops.reshape(counts, shape), self.dtype))

    def _classes(self, y: Any, are_numbers: bool) -> Any:
        """Class numbers as a vector."""
        return ops.ravel(ops.cast(y if are_numbers else ops.argmax(y, self.axis), self.dtype))

    def _is_class(self, numbers: Any) -> Any:
        return ops.logical_and(ops.greater_equal(numbers, 0), ops.less(numbers, self.num_classes))

    def _weight(self, sample_weight: Any) -> Any:
        weight = ops.convert_to_tensor(1 if sample_weight is None else sample_weight)
        if DType.of(weight.dtype).is_floating and DType.of(self.dtype).is_integer:
            warnings.warn(
                f"metric '{self.name}': fractions of sample weights are cut off, as it counts in "
                f"{self.dtype}; give it dtype='float32'",
                stacklevel=2,
            )
        weight = ops.cast(weight, self.dtype)
        return ops.ravel(weight) if len(weight.shape) > 1 else weight

    @one_graph
    def result(self) -> Any:
        matrix = self.confusion_matrix.value
        found = ops.diagonal(matrix)
        union = ops.sum(matrix, 0) + ops.sum(matrix, 1) - found
        found, union = (
            ops.cast(ops.take(count, self.target_class_ids, 0), "float32")
            for count in (found, union)
        )
        occurs = ops.greater(union, 1e-9)
        overlap = ops.where(occurs, found / (union + _EPSILON), 0.0)
        return ops.sum(overlap) / (ops.sum(ops.cast(occurs, "float32")) + _EPSILON)

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in argument_names(type(self))}


class BinaryIoU(IoU):
    """As `IoU`, of the classes 0 and 1; a prediction of at least `threshold` is class 1."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    @updates
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        above = ops.greater_equal(ops.cast(y_pred, "float32"), self.threshold)
        super().update_state(y_true, above, sample_weight)


class MeanIoU(IoU):
    """As `IoU`, the mean over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )


class OneHotIoU(IoU):
    """As `IoU`, of one-hot labels and of scores (or, with `sparse_y_pred`, class numbers)."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )


class OneHotMeanIoU(MeanIoU):
    """As `MeanIoU`, of one-hot labels and of scores (or, with `sparse_y_pred`, class numbers)."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
