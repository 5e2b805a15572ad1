"""MobileNet and MobileNetV2 against Keras's."""

from __future__ import annotations

import pytest

from kcompile import applications, layers
from kcompile.ir.errors import SpecError
from tests.applications.parity import both, check_definition, check_numbers

MODELS = [("mobilenet", "MobileNet"), ("mobilenet_v2", "MobileNetV2")]


@pytest.mark.parametrize(("module", "name"), MODELS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"input_shape": (128, 128, 3), "classes": 7, "alpha": 0.5},
        {"input_shape": (97, 64, 1), "alpha": 1.3, "name": "mine"},
        {"include_top": False},
        {"include_top": False, "pooling": "max", "input_shape": (160, 160, 3)},
    ],
)
def test_definition(module, name, arguments):
    check_definition(*both(module, name, **arguments))


def test_options_of_the_first():
    check_definition(*both("mobilenet", "MobileNet", depth_multiplier=2, dropout=0.3))


@pytest.mark.parametrize(("module", "name"), MODELS)
def test_numbers(module, name, tmp_path):
    theirs, ours = both(
        module, name, input_shape=(64, 64, 3), alpha=0.35, classes=10, classifier_activation=None
    )
    check_numbers(theirs, ours, tmp_path, size=64)


@pytest.mark.parametrize(("module", "name"), MODELS)
def test_on_a_tensor_of_another_model(module, name):
    x = layers.Input((96, 96, 3), name="pixels")
    model = getattr(applications, name)(
        weights=None, input_tensor=layers.Rescaling(1 / 255, name="scaled")(x), include_top=False
    )
    assert model.input_names == ["pixels"] and model.get_layer("scaled")


@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2"])
def test_refusals(name):
    make = getattr(applications, name)
    with pytest.raises(SpecError, match="published for alpha"):
        make(alpha=0.6)
    with pytest.raises(SpecError, match="at least 32 x 32"):
        make(weights=None, input_shape=(31, 40, 3))
    with pytest.raises(SpecError, match="know 1000 classes"):
        make(classes=10)
    with pytest.raises(SpecError, match="no such file"):
        make(weights="nowhere.h5")
    with pytest.raises(SpecError, match="softmax"):
        make(classifier_activation="sigmoid")
    with pytest.raises(SpecError, match="pooling"):
        make(weights=None, pooling="mean")
