"""ResNet and ResNetV2 against Keras's."""

from __future__ import annotations

import pytest

from kcompile.applications import resnet, resnet50
from tests.applications.parity import both, check_definition, check_numbers

MODELS = [
    ("resnet", "ResNet50"),
    ("resnet", "ResNet101"),
    ("resnet_v2", "ResNet50V2"),
    ("resnet_v2", "ResNet101V2"),
    pytest.param("resnet", "ResNet152", marks=pytest.mark.slow),
    pytest.param("resnet_v2", "ResNet152V2", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("module", "name"), MODELS)
def test_definition(module, name):
    check_definition(*both(module, name, input_shape=(40, 32, 3), classes=7))


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
@pytest.mark.parametrize(("module", "name"), [("resnet", "ResNet50"), ("resnet_v2", "ResNet50V2")])
def test_without_classifier(module, name, pooling):
    check_definition(*both(module, name, include_top=False, pooling=pooling))


@pytest.mark.parametrize(("module", "name"), [("resnet", "ResNet50"), ("resnet_v2", "ResNet50V2")])
def test_numbers(module, name, tmp_path):
    theirs, ours = both(
        module, name, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    check_numbers(theirs, ours, tmp_path)


def test_the_other_module_is_the_same():
    assert resnet50.ResNet50 is resnet.ResNet50
