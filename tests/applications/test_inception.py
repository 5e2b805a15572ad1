"""InceptionV3 and Xception against Keras's."""

from __future__ import annotations

import pytest

from tests.applications.parity import both, check_definition, check_numbers

MODELS = [("inception_v3", "InceptionV3"), ("xception", "Xception")]


@pytest.mark.parametrize(("module", "name"), MODELS)
@pytest.mark.parametrize(
    "arguments",
    [{"input_shape": (80, 96, 3), "classes": 7}, {"include_top": False, "pooling": "avg"}],
)
def test_definition(module, name, arguments):
    check_definition(*both(module, name, **arguments))


@pytest.mark.parametrize(("module", "name"), MODELS)
def test_numbers(module, name, tmp_path):
    theirs, ours = both(
        module, name, input_shape=(75, 75, 3), classes=10, classifier_activation=None
    )
    check_numbers(theirs, ours, tmp_path, size=75)
