"""Small helpers around tensors, and names that are refused."""

from __future__ import annotations

import pytest

import kcompile
from kcompile import layers, utils
from kcompile.ir.errors import SpecError


def test_source_inputs() -> None:
    first, second = layers.Input((2,)), layers.Input((2,))
    hidden = layers.Dense(2)(first)
    y = kcompile.ops.add(kcompile.ops.add(hidden, second), hidden)
    assert utils.get_source_inputs(y) == [first, second]
    assert utils.is_keras_tensor(y) and not utils.is_keras_tensor(3)
    with pytest.raises(SpecError, match="made by Input"):
        utils.get_source_inputs(3)


def test_element_types() -> None:
    assert [utils.standardize_dtype(kind) for kind in (None, int, "bool")] == [
        "float32",
        utils.standardize_dtype("int64"),
        "bool",
    ]


@pytest.mark.parametrize("name", ["Progbar", "FeatureSpace"])
def test_what_is_not_there_says_so(name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        getattr(utils, name)(3)
