"""EfficientNet against Keras's."""

from __future__ import annotations

import pytest

from tests.applications.parity import both, check_definition, check_numbers

LARGER = [f"EfficientNetB{number}" for number in range(2, 8)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("EfficientNetB0", {"classes": 7, "input_shape": (65, 96, 3)}),
        ("EfficientNetB0", {"include_top": False, "pooling": "max"}),
        ("EfficientNetB1", {"include_top": False}),
        *(pytest.param(name, {}, marks=pytest.mark.slow) for name in LARGER),
    ],
)
def test_definition(name, arguments):
    check_definition(*both("efficientnet", name, **arguments))


def test_numbers(tmp_path):
    theirs, ours = both(
        "efficientnet",
        "EfficientNetB0",
        input_shape=(64, 64, 3),
        classes=10,
        classifier_activation=None,
    )
    check_numbers(theirs, ours, tmp_path, size=64)
