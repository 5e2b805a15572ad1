"""Labels: whether they are what a loss needs, and the weights of their classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError


def class_weights(
    target: np.ndarray[Any, Any], weight: Mapping[int, float]
) -> np.ndarray[Any, Any]:
    """The weight of each row's class, float32 `[rows]`; 1 for classes that have none.

    Classes are the numbers in `target`, or the places of the largest in its last axis.

    Raises:
        DataError: a class is no integer, or there is not one for each row.
    """
    require_classes(weight, target.shape[-1] if target.ndim > 1 else 1)
    classes = target
    if classes.ndim > 1:
        classes = classes[..., 0] if classes.shape[-1] == 1 else np.argmax(classes, axis=-1)
    if classes.ndim > 1:
        raise DataError(
            f"class_weight needs one class for each row, got targets {target.shape}", where="fit"
        )
    if (fractions := _fractions(classes)).any():
        row = int(np.argmax(fractions))
        raise DataError(
            f"class_weight needs labels that are integers, got {classes[row]} in row {row}",
            where="fit",
        )
    result = np.ones(len(classes), np.float32)
    for number, value in weight.items():
        result[classes == number] = value
    return result


def require_classes(weight: Mapping[int, float], num_classes: int | None) -> None:
    """Check that the keys of `class_weight` are classes; any integer from 0 on without a number.

    Raises:
        DataError: one is not.
    """
    known = math.inf if num_classes in (None, 1) else num_classes
    for number in weight:
        if isinstance(number, bool) or not isinstance(number, Integral) or not 0 <= number < known:
            raise DataError(
                f"class_weight is for the class {number!r}, which is no integer in [0, {known})",
                where="fit",
                hint="Its keys are class numbers, which count from 0",
            )


def require_probabilities(labels: np.ndarray[Any, Any], where: str) -> None:
    """Check that labels are in [0, 1].

    Raises:
        DataError: one is not; names the row.
    """
    bad = (labels < 0) | (labels > 1)
    if bad.any():
        first = tuple(np.argwhere(bad)[0])
        raise DataError(
            f"the label {labels[first]} in row {first[0]} is not in [0, 1]",
            where=where,
            hint="Binary cross-entropy takes 0, 1 and what is between",
        )


def require_labels_in_range(
    labels: np.ndarray[Any, Any], num_classes: int | None, ignored: int | None, where: str
) -> None:
    """Check that class numbers are integers in [0, num_classes); None for any number of classes.

    Raises:
        DataError: one is not; names the row.
    """
    known = math.inf if num_classes is None else num_classes
    bad = (labels < 0) | (labels >= known) | _fractions(labels)
    if ignored is not None:
        bad &= labels != ignored
    if not bad.any():
        return
    row = np.argwhere(bad)[0]
    raise DataError(
        f"the label {labels[tuple(row)]} in row {row[0]} is not a class in [0, {known})",
        where=where,
        hint="Labels count from 0; give the output as many units as there are classes",
    )


def _fractions(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(numbers != np.floor(numbers))
