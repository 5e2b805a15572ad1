"""DenseNet against Keras's."""

from __future__ import annotations

import pytest

from tests.applications.parity import both, check_definition, check_numbers


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("DenseNet121", {"input_shape": (64, 48, 3), "classes": 7}),
        ("DenseNet121", {"include_top": False, "pooling": "avg"}),
        pytest.param("DenseNet169", {"include_top": False}, marks=pytest.mark.slow),
        pytest.param("DenseNet201", {"include_top": False}, marks=pytest.mark.slow),
    ],
)
def test_definition(name, arguments):
    check_definition(*both("densenet", name, **arguments))


def test_numbers(tmp_path):
    theirs, ours = both(
        "densenet", "DenseNet121", input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    check_numbers(theirs, ours, tmp_path)
