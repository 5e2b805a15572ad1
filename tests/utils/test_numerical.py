"""to_categorical and normalize: as Keras has them, with bad labels refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kcompile.ir.errors import DataError
from kcompile.utils import normalize, to_categorical


@pytest.mark.parametrize(
    ("labels", "num_classes"),
    [
        ([0, 2, 1, 2], None),
        ([0, 2, 1, 2], 5),
        (np.array([[0], [1], [3]], np.uint8), None),
        (np.array([[0, 1], [2, 0]]), 3),
        (np.array([0.0, 2.0], np.float32), None),
        (np.array([True, False]), 2),
        ([], 3),
        (2, None),
    ],
)
def test_to_categorical_is_keras(labels, num_classes):
    received = to_categorical(labels, num_classes)
    expected = keras.utils.to_categorical(labels, num_classes)
    np.testing.assert_array_equal(received, expected, strict=True)


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([0, 3], 3, r"label 3 is outside 0\.\.2"),
        ([0, -1], None, r"label -1 is outside 0\.\.0"),
        ([0.0, 1.5], None, "whole numbers, got 1.5"),
        ([0.0, np.nan], None, "whole numbers, got nan"),
        (["cat", "dog"], None, "must be numbers, got dtype <U3"),
        ([], None, "no labels to count"),
    ],
)
def test_to_categorical_refuses(labels, num_classes, message):
    with pytest.raises(DataError, match=message):
        to_categorical(labels, num_classes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("axis", [-1, 1, -3])  # Keras reads axis=0 as -1
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_normalize_is_keras(dtype, axis, order):
    x = np.random.default_rng(0).integers(-9, 9, (3, 5, 4)).astype(dtype)
    x[1] = 0
    received = normalize(x, axis=axis, order=order)
    expected = keras.utils.normalize(x, axis=axis, order=order)
    np.testing.assert_array_equal(received, expected, strict=True)


def test_normalize_vector():
    np.testing.assert_array_equal(normalize([3.0, 4.0]), [0.6, 0.8], strict=True)
