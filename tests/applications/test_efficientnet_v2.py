"""EfficientNetV2 against Keras's."""

from __future__ import annotations

import pytest

from tests.applications.parity import both, check_definition, check_numbers

SLOW = [f"EfficientNetV2{kind}" for kind in ("B1", "B3", "M", "L")]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("EfficientNetV2B0", {"classes": 7, "input_shape": (65, 96, 3)}),
        ("EfficientNetV2B2", {"include_top": False, "pooling": "max", "input_shape": (64, 64, 1)}),
        ("EfficientNetV2S", {"include_top": False, "include_preprocessing": False}),
        *(pytest.param(name, {}, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_definition(name, arguments):
    check_definition(*both("efficientnet_v2", name, **arguments))


def test_numbers(tmp_path):
    theirs, ours = both(
        "efficientnet_v2",
        "EfficientNetV2B0",
        input_shape=(64, 64, 3),
        classes=10,
        classifier_activation=None,
    )
    check_numbers(theirs, ours, tmp_path, size=64)
