"""Tests of what differs between two models."""

from __future__ import annotations

import numpy as np
import pytest

from kcompile import Sequential, layers
from kcompile.formats.comparing import Difference, compare_models
from kcompile.utils import set_random_seed


def model(*names: str, units: int = 3, name: str = "m") -> Sequential:
    set_random_seed(0)
    dense = [layers.Dense(units, name=layer) for layer in names]
    return Sequential([layers.Input((3,), name="x"), *dense], name=name)


def test_the_same_layers_and_weights_are_equal() -> None:
    assert compare_models(model("a", "b"), model("a", "b", name="other")) == []


def test_a_layer_more_and_another_order() -> None:
    more = compare_models(model("a"), model("a", "b"), None)
    assert Difference("b", "layer", "nothing", "Dense") in more
    turned = compare_models(model("a", "b"), model("b", "a"), None)
    assert [(entry.what, entry.left) for entry in turned] == [("order", "['x', 'a', 'b']")]


def test_weights_of_other_shapes_and_of_no_counterpart() -> None:
    found = {entry.place: entry for entry in compare_models(model("a"), model("a", units=2))}
    assert found["a.config.units"] == Difference("a.config.units", "config", "3", "2")
    assert found["a/kernel"] == Difference("a/kernel", "weight", "f32[3,3]", "f32[3,2]")
    more = compare_models(model("a"), model("a", "b"))
    assert Difference("b/bias", "weight", "nothing", "f32[3]") in more


@pytest.mark.parametrize("number", [np.nan, np.inf, -0.5])
def test_any_other_number_is_a_difference(number: float) -> None:
    left, right = model("a"), model("a")
    right.get_layer("a").bias.assign(np.float32([0, number, 0]))
    (found,) = compare_models(left, right, 0.4)
    assert (found.place, found.what, found.left) == ("a/bias", "values", "1 of 3 differ")
    left.get_layer("a").bias.assign(np.float32([0, number, 0]))
    assert compare_models(left, right) == []
    left.get_layer("a").bias.assign(np.float32([1, number, 0]))
    assert len(compare_models(left, right)) == 1


def test_a_tolerance_goes_by_the_largest_weight() -> None:
    left, right = model("a"), model("a")
    left.get_layer("a").bias.assign(np.float32([100, 1, 0]))
    right.get_layer("a").bias.assign(np.float32([100, 2, 0]))
    assert compare_models(left, right, 0.01) == []
    assert len(compare_models(left, right, 0.009)) == 1
