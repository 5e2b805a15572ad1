"""Pictures of what `fit` returns."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as K
from kcompile.ir.errors import DataError


def _history(**options: Any) -> Any:
    model = K.Sequential([K.Input((2,)), K.layers.Dense(1, name="d")], name="curves")
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.ones((8, 2), np.float32)
    return model.fit(x, x[:, :1], verbose=0, **options)


def test_each_log_has_a_picture_with_training_and_validation(tmp_path: Path) -> None:
    history = _history(epochs=6, validation_split=0.5, validation_freq=2)
    figure = history.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "mae"]
    training, validation = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(training.get_ydata(), history.history["loss"])
    np.testing.assert_array_equal(validation.get_xdata(), [2, 4, 6])
    np.testing.assert_array_equal(validation.get_ydata(), history.history["val_loss"])
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_there_has_to_be_something_to_plot() -> None:
    with pytest.raises(DataError, match="nothing to plot"):
        K.callbacks.History().plot()


def test_the_package_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    history = _history(epochs=1)
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="pip install matplotlib"):
        history.plot()
