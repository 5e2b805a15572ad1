"""MobileNetV3 against Keras's."""

from __future__ import annotations

import pytest

from kcompile import applications
from kcompile.ir.errors import SpecError
from tests.applications.parity import both, check_definition, check_numbers

NAMES = ["MobileNetV3Small", "MobileNetV3Large"]
MODULE = "mobilenet_v3"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"input_shape": (65, 96, 3), "classes": 7, "alpha": 0.75},
        {"minimalistic": True, "dropout_rate": 0.0},
        {"include_top": False, "pooling": "avg", "include_preprocessing": False, "alpha": 1.25},
    ],
)
def test_definition(name, arguments):
    check_definition(*both(MODULE, name, **arguments))


def test_numbers(tmp_path):
    theirs, ours = both(
        MODULE, NAMES[0], input_shape=(64, 64, 3), classes=10, classifier_activation=None
    )
    check_numbers(theirs, ours, tmp_path, size=64)


def test_refusals():
    with pytest.raises(SpecError, match="are published for"):
        applications.MobileNetV3Small(alpha=0.5)
    with pytest.raises(SpecError, match="are published for"):
        applications.MobileNetV3Large(alpha=0.75, minimalistic=True)
