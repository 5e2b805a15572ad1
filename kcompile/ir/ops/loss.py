"""Cross-entropies, kept whole so that they can be computed from logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.ops.activation import LogSoftmax
from kcompile.ir.types import TensorType, broadcast_shapes

EPSILON = 1e-7


def _clip(p: Array, epsilon: float) -> Array:
    return np.minimum(np.maximum(p, p.dtype.type(epsilon)), p.dtype.type(1 - epsilon))


def _log_probabilities(y: Array, axis: int, from_logits: bool, epsilon: float) -> Array:
    """The logarithm of y, scaled to sum 1 along axis and clipped; log-softmax of logits."""
    if from_logits:
        return LogSoftmax(axis).reference(y)
    y = y / np.sum(y, axis=axis, keepdims=True)
    return np.log(_clip(y, epsilon))


@dataclass(frozen=True)
class CategoricalCrossentropy(Op):
    """`l = -sum along axis of labels * ln(p)`.

    p is the softmax of predictions if they are logits; otherwise predictions scaled to sum 1 along
    axis and clipped to [epsilon, 1 - epsilon].
    """

    from_logits: bool = False
    axis: int = -1
    epsilon: float = EPSILON

    def infer(self, labels: TensorType, predictions: TensorType) -> TensorType:
        require(predictions.dtype.is_floating, "needs floating-point numbers")
        require(labels == predictions, "labels and predictions must have the same type")
        axis = normalize_axis(self.axis, predictions.rank)
        return predictions.with_shape(n for i, n in enumerate(predictions.shape) if i != axis)

    def reference(self, labels: Array, predictions: Array) -> Array:
        logs = _log_probabilities(predictions, self.axis, self.from_logits, self.epsilon)
        return -np.sum(labels * logs, axis=self.axis, dtype=predictions.dtype)


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Op):
    """`l = -ln(p[label])`, p along axis as in `CategoricalCrossentropy`.

    labels are integers in [0, C), in the shape of predictions without axis. A label outside takes
    no part: its loss is 0.
    """

    from_logits: bool = False
    axis: int = -1
    epsilon: float = EPSILON

    def infer(self, labels: TensorType, predictions: TensorType) -> TensorType:
        require(predictions.dtype.is_floating, "needs floating-point numbers")
        require(labels.dtype.is_integer, "labels must be integers")
        axis = normalize_axis(self.axis, predictions.rank)
        shape = tuple(n for i, n in enumerate(predictions.shape) if i != axis)
        require(labels.shape == shape, "labels must have the shape of predictions without axis")
        return predictions.with_shape(shape)

    def reference(self, labels: Array, predictions: Array) -> Array:
        logs = _log_probabilities(predictions, self.axis, self.from_logits, self.epsilon)
        classes = np.arange(logs.shape[self.axis])
        chosen = np.expand_dims(labels, self.axis) == np.moveaxis(
            classes.reshape((1,) * (logs.ndim - 1) + (-1,)), -1, self.axis
        )
        return -np.sum(np.where(chosen, logs, logs.dtype.type(0)), axis=self.axis)


@dataclass(frozen=True)
class BinaryCrossentropy(Op):
    """`l = -labels * ln(p) - (1 - labels) * ln(1 - p)`, for each element.

    p is the sigmoid of predictions if they are logits; otherwise predictions clipped to
    [epsilon, 1 - epsilon].
    """

    from_logits: bool = False
    epsilon: float = EPSILON

    def infer(self, labels: TensorType, predictions: TensorType) -> TensorType:
        require(predictions.dtype.is_floating, "needs floating-point numbers")
        require(labels.dtype is predictions.dtype, "needs operands of one element type")
        return predictions.with_shape(broadcast_shapes(labels.shape, predictions.shape))

    def reference(self, labels: Array, predictions: Array) -> Array:
        one = predictions.dtype.type(1)
        if self.from_logits:  # -ln(sigmoid(x)) = ln(1 + e^-x) = max(-x, 0) + ln(1 + e^-|x|)
            x = predictions
            tail = np.log1p(np.exp(-np.abs(x)))
            return labels * (np.maximum(-x, 0) + tail) + (one - labels) * (np.maximum(x, 0) + tail)
        p = _clip(predictions, self.epsilon)
        return -labels * np.log(p) - (one - labels) * np.log1p(-p)
