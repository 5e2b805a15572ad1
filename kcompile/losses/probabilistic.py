"""Losses of probabilities: cross-entropies and their relatives."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType, format_shape
from kcompile.losses.base import FunctionLoss
from kcompile.losses.calling import one_graph_function

EPSILON = 1e-7


@one_graph_function
def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """`-sum(y_true * log(p))` along axis; labels are one-hot or probabilities.

    Args:
        y_true: `[N, ..., C]`.
        y_pred: `[N, ..., C]`: probabilities, or logits with `from_logits`.
        from_logits: whether the softmax has still to be taken.
        label_smoothing: in [0, 1]; the part of each label that is spread over all classes.
        axis: of the classes.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    _check_same_shape("categorical_crossentropy", y_true, y_pred)
    y_true = _smooth_classes(y_true, label_smoothing)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@one_graph_function
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """`-sum(alpha * (1 - p)^gamma * y_true * log(p))` along axis (Lin et al., 2017)."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    _check_same_shape("categorical_focal_crossentropy", y_true, y_pred)
    y_true = _smooth_classes(y_true, label_smoothing)
    if from_logits:
        y_pred = ops.softmax(y_pred, axis)
    p = ops.clip(y_pred / ops.sum(y_pred, axis, True), EPSILON, 1.0 - EPSILON)
    weight = ops.power(1.0 - p, gamma) * alpha
    return ops.sum(weight * -y_true * ops.log(p), axis)


@one_graph_function
def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """`-log(p[y_true])`, p along axis; 0 where the label is `ignore_class`.

    Args:
        y_true: class numbers in the shape of y_pred without axis, or with size 1 there.
        y_pred: `[N, ..., C]`: probabilities, or logits with `from_logits`.
        from_logits: whether the softmax has still to be taken.
        ignore_class: a label that takes no part.
        axis: of the classes.
    """
    y_pred, y_true = ops.convert_to_tensor(y_pred), class_numbers(y_true, y_pred, axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    counts = ops.not_equal(y_true, ignore_class)
    y_pred = ops.where(ops.expand_dims(counts, axis), y_pred, 0)
    losses = ops.sparse_categorical_crossentropy(
        ops.where(counts, y_true, 0), y_pred, from_logits, axis
    )
    return ops.where(counts, losses, 0.0)


@one_graph_function
def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """`mean(-y_true * log(p) - (1 - y_true) * log(1 - p))` over axis.

    Args:
        y_true: `[N, ...]`, 0, 1 or a probability.
        y_pred: in the shape of y_true: probabilities, or logits with `from_logits`.
        from_logits: whether the sigmoid has still to be taken.
        label_smoothing: in [0, 1]; how far labels are moved towards 0.5.
        axis: over which the mean is taken.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    _check_same_shape("binary_crossentropy", y_true, y_pred)
    y_true = _smooth_binary(y_true, label_smoothing)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis)


@one_graph_function
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy times `(1 - p of the label)^gamma` (Lin et al., 2017).

    With `apply_class_balancing`, class 1 weighs alpha and class 0 `1 - alpha`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    _check_same_shape("binary_focal_crossentropy", y_true, y_pred)
    y_true = _smooth_binary(y_true, label_smoothing)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    p_of_label = y_true * p + (1 - y_true) * (1 - p)
    losses = ops.power(1.0 - p_of_label, gamma) * ops.binary_crossentropy(y_true, p)
    if apply_class_balancing:
        losses = (y_true * alpha + (1 - y_true) * (1 - alpha)) * losses
    return ops.mean(losses, axis)


@one_graph_function
def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """`sum(y_true * log(y_true / y_pred))` over the last axis, both clipped to [1e-7, 1]."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.clip(ops.convert_to_tensor(y_true, y_pred.dtype), EPSILON, 1)
    return ops.sum(y_true * ops.log(y_true / ops.clip(y_pred, EPSILON, 1)), -1)


@one_graph_function
def poisson(y_true: Any, y_pred: Any) -> Any:
    """`mean(y_pred - y_true * log(y_pred + 1e-7))` over the last axis."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, y_pred.dtype)
    return ops.mean(y_pred - y_true * ops.log(y_pred + EPSILON), -1)


@one_graph_function
def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """`(1 - p[y_true]^q) / q`, for class numbers that may be wrong (Zhang and Sabuncu, 2018)."""
    y_pred = ops.convert_to_tensor(y_pred)
    labels = ops.one_hot(ops.cast(y_true, "int32"), num_classes_of(y_pred), dtype=y_pred.dtype)
    return (1 - ops.power(ops.sum(y_pred * labels, -1), q)) / q


def num_classes_of(y_pred: Any) -> int:
    """The size of the last axis.

    Raises:
        ShapeError: it is not a number.
    """
    size: Size = ops.shape(y_pred)[-1]
    if not isinstance(size, int):
        raise ShapeError(
            f"the number of classes is {size}, which is not a number",
            hint="Give the last axis of the predictions a fixed size",
        )
    return size


def _smooth_classes(y_true: Any, label_smoothing: float) -> Any:
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / num_classes_of(y_true)


def _smooth_binary(y_true: Any, label_smoothing: float) -> Any:
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true


def class_numbers(y_true: Any, y_pred: Any, axis: int) -> Any:
    """Labels as integers, without an axis of size 1 in the place of the classes."""
    labels = ops.convert_to_tensor(y_true)
    if not DType.of(labels.dtype).is_integer:
        labels = ops.cast(labels, "int32")
    if len(labels.shape) == len(y_pred.shape) and labels.shape[axis] == 1:
        return ops.squeeze(labels, axis)
    return labels


def _check_same_shape(name: str, y_true: Any, y_pred: Any) -> None:
    """Broadcasting labels against predictions is nearly always a mistake.

    Raises:
        ShapeError: ranks differ, or two sizes do.
    """
    shapes = ops.shape(y_true), ops.shape(y_pred)
    same_rank = len(shapes[0]) == len(shapes[1])
    if same_rank and all(
        a == b or not (isinstance(a, int) and isinstance(b, int))
        for a, b in zip(*shapes, strict=True)
    ):
        return
    raise ShapeError(
        f"{name} needs labels and predictions of one shape, got {format_shape(shapes[0])} and"
        f" {format_shape(shapes[1])}",
        hint="For class numbers as labels use sparse_categorical_crossentropy",
    )


class KLDivergence(FunctionLoss):
    """`sum(y_true * log(y_true / y_pred))`."""

    function = staticmethod(kl_divergence)
    default_name = "kl_divergence"


class Poisson(FunctionLoss):
    """`mean(y_pred - y_true * log(y_pred))`."""

    function = staticmethod(poisson)
    default_name = "poisson"


class _Crossentropy(FunctionLoss):
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class BinaryCrossentropy(_Crossentropy):
    """Cross-entropy of labels that are 0 or 1."""

    function = staticmethod(binary_crossentropy)
    default_name = "binary_crossentropy"


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy of one-hot labels."""

    function = staticmethod(categorical_crossentropy)
    default_name = "categorical_crossentropy"


class BinaryFocalCrossentropy(FunctionLoss):
    """Binary cross-entropy in which easy samples weigh less (Lin et al., 2017)."""

    function = staticmethod(binary_focal_crossentropy)
    default_name = "binary_focal_crossentropy"

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class CategoricalFocalCrossentropy(FunctionLoss):
    """Categorical cross-entropy in which easy samples weigh less (Lin et al., 2017)."""

    function = staticmethod(categorical_focal_crossentropy)
    default_name = "categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(FunctionLoss):
    """Cross-entropy of labels that are class numbers."""

    function = staticmethod(sparse_categorical_crossentropy)
    default_name = "sparse_categorical_crossentropy"
    labels_are_classes = True

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def mask(self, y_true: Any, y_pred: Any, losses: Any) -> Any:
        if self.ignore_class is None:
            return None
        return ops.not_equal(class_numbers(y_true, y_pred, self.axis), self.ignore_class)


class CategoricalGeneralizedCrossEntropy(FunctionLoss):
    """A cross-entropy that stands wrong labels (Zhang and Sabuncu, 2018).

    Raises:
        SpecError: q is not in (0, 1).
    """

    function = staticmethod(categorical_generalized_cross_entropy)
    default_name = "categorical_generalized_cross_entropy"

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        if not 0 < q < 1:
            raise SpecError(f"q must be in (0, 1), got {q!r}", where=f"loss '{self.name}'")
        self.q = q
