"""Plain NumPy helpers for preparing data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcompile.ir.errors import DataError


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float64]:
    """One-hot rows for integer class labels: `[..., C]` from `[...]` or `[..., 1]`.

    Args:
        x: labels from 0 to `num_classes - 1`.
        num_classes: C; the largest label plus one when not given.

    Raises:
        DataError: a label is not a whole number, or lies outside the classes; or there is no
            label and `num_classes` isn't given.
    """
    given = np.asarray(x)
    if given.dtype.kind not in "biuf":
        raise DataError(
            f"to_categorical: labels must be numbers, got dtype {given.dtype}",
            hint="Number the classes from 0",
        )
    with np.errstate(invalid="ignore"):  # NaN and infinity are caught by the comparison
        labels = given.astype(np.int64)
    if not np.array_equal(labels, given):
        odd = given[labels != given].flat[0]
        raise DataError(
            f"to_categorical: labels must be whole numbers, got {odd}",
            hint="Round them, or number the classes from 0",
        )
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise DataError("to_categorical: no labels to count", hint="Give num_classes")
        num_classes = int(labels.max()) + 1
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.size:
        raise DataError(
            f"to_categorical: label {outside[0]} is outside 0..{num_classes - 1}",
            hint="Number the classes from 0, or give a larger num_classes",
        )
    one_hot = np.zeros((*labels.shape, num_classes))
    np.put_along_axis(one_hot, labels[..., np.newaxis], 1.0, axis=-1)
    return one_hot


def normalize(x: ArrayLike, axis: int = -1, order: float = 2) -> NDArray[np.floating]:
    """`x / ||x||` along `axis`, with the norm of that order; all-zero vectors stay zero."""
    values = np.asarray(x)
    norm = np.linalg.norm(values, ord=order, axis=axis, keepdims=True)
    return np.divide(values, np.where(norm == 0, 1, norm))
