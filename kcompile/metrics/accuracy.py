"""How often predictions are right."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.types import DType
from kcompile.losses.base import to_same_rank
from kcompile.losses.calling import one_graph_function
from kcompile.losses.regression import as_pair
from kcompile.metrics.reductions import FunctionMetric
from kcompile.ops.trace import emit


def _to_float(matches: Any) -> Any:
    return ops.cast(matches, "float32")


@one_graph_function
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where prediction and label are equal, else 0."""
    return _to_float(ops.equal(*as_pair(y_true, y_pred)))


@one_graph_function
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where the label is what `y_pred > threshold` says, else 0."""
    y_true, y_pred = to_same_rank(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
    predicted = ops.cast(ops.greater(y_pred, threshold), y_true.dtype)
    return _to_float(ops.equal(y_true, predicted))


@one_graph_function
def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the greatest along the last axis is at one place in labels and predictions."""
    return _to_float(ops.equal(ops.argmax(y_true, -1), ops.argmax(y_pred, -1)))


@one_graph_function
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the label is the place of the greatest prediction along the last axis, else 0."""
    y_true, y_pred = _class_numbers(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    matches = _to_float(ops.equal(y_true, ops.argmax(y_pred, -1)))
    if len(matches.shape) > 1 and matches.shape[-1] == 1:
        return ops.squeeze(matches, -1)
    return matches


@one_graph_function
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where fewer than k predictions beat that of the one-hot label's class, else 0."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    return _in_top_k(ops.argmax(y_true, -1), y_pred, k)


@one_graph_function
def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1 where the label is among the k classes of the greatest predictions, else 0.

    With `from_sorted_ids`, y_pred are class numbers, best first.
    """
    y_true, y_pred = _class_numbers(y_true), ops.convert_to_tensor(y_pred)
    if not from_sorted_ids:
        is_column = len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1
        return _in_top_k(ops.squeeze(y_true, -1) if is_column else y_true, y_pred, k)
    return _to_float(ops.any(ops.equal(ops.expand_dims(y_true, -1), y_pred[..., :k]), -1))


def _in_top_k(labels: Any, scores: Any, k: int) -> Any:
    """1 where fewer than k of the scores `[..., C]` beat that of the label `[...]`, else 0.

    Labels in [-C, 0) are counted from the end, as in Keras. One outside [-C, C), or at a NaN, is
    not among them. Only C must be a number.
    """
    scores = ops.cast(scores, "float32")
    labels = ops.where(ops.less(labels, 0), ops.add(labels, scores.shape[-1]), labels)
    is_label = emit(ir.OneHot(scores.shape[-1], DType.BOOL), labels)
    score = ops.max(ops.where(is_label, scores, float("-inf")), -1, True)
    score = ops.where(ops.equal(score, score), score, float("-inf"))
    num_better = ops.sum(_to_float(ops.greater(scores, score)), -1)
    return _to_float(ops.less(num_better, k))


def _class_numbers(y_true: Any) -> Any:
    labels = ops.convert_to_tensor(y_true)
    return labels if DType.of(labels.dtype).is_integer else ops.cast(labels, "int32")


class Accuracy(FunctionMetric):
    """How often predictions equal labels."""

    function = staticmethod(accuracy)
    default_name = "accuracy"


class BinaryAccuracy(FunctionMetric):
    """How often `y_pred > threshold` is what the label says."""

    function = staticmethod(binary_accuracy)
    default_name = "binary_accuracy"

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold


class CategoricalAccuracy(FunctionMetric):
    """How often the greatest prediction is that of the one-hot label's class."""

    function = staticmethod(categorical_accuracy)
    default_name = "categorical_accuracy"


class SparseCategoricalAccuracy(FunctionMetric):
    """How often the greatest prediction is that of the label's class."""

    function = staticmethod(sparse_categorical_accuracy)
    default_name = "sparse_categorical_accuracy"


class TopKCategoricalAccuracy(FunctionMetric):
    """How often the one-hot label's class is among the k greatest predictions."""

    function = staticmethod(top_k_categorical_accuracy)
    default_name = "top_k_categorical_accuracy"

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.k = k


class SparseTopKCategoricalAccuracy(FunctionMetric):
    """How often the label's class is among the k greatest predictions."""

    function = staticmethod(sparse_top_k_categorical_accuracy)
    default_name = "sparse_top_k_categorical_accuracy"

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.k = k
        self.from_sorted_ids = from_sorted_ids
