"""VGG16 and VGG19 against Keras's."""

from __future__ import annotations

import pytest

from tests.applications.parity import both, check_definition, check_numbers


@pytest.mark.parametrize(("module", "name"), [("vgg16", "VGG16"), ("vgg19", "VGG19")])
@pytest.mark.parametrize(
    "arguments",
    [
        {"input_shape": (32, 32, 3), "classes": 7},
        {"include_top": False, "pooling": "max"},
        {"include_top": False, "pooling": "avg", "input_shape": (48, 40, 1)},
        {"input_shape": (32, 32, 3), "classifier_activation": None, "name": "mine"},
    ],
)
def test_definition(module, name, arguments):
    check_definition(*both(module, name, **arguments))


def test_numbers(tmp_path):
    theirs, ours = both("vgg16", "VGG16", include_top=False, input_shape=(32, 32, 3), pooling="avg")
    check_numbers(theirs, ours, tmp_path)
