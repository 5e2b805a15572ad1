"""Pictures of models, as far as they need neither pydot nor Graphviz."""

from __future__ import annotations

import sys

import pytest

import kcompile
from kcompile import layers, utils
from kcompile.ir.errors import DataError, SpecError


def test_without_pydot_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydot", None)
    model = kcompile.Sequential([layers.Input((2,)), layers.Dense(3)])
    with pytest.raises(DataError, match="pydot"):
        utils.plot_model(model)


def test_models_without_layers_are_refused() -> None:
    with pytest.raises(SpecError, match="no layers"):
        utils.model_to_dot(kcompile.Sequential([layers.Dense(3)]))
