"""Files of earlier eras, with what the Keras that wrote them predicted: tests/data/legacy."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile.formats.loading import load_model
from kcompile.ir.errors import FormatError

FOLDER = Path(__file__).parents[1] / "data" / "legacy"
WHOLE = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".h5", ".keras"))
WHOLE.remove("tf_keras_2.15_architecture.h5")
#: Half precision is rounded otherwise by each machine.
TOLERANCES = {"tf_keras_2.15_policies": 1e-3}


@functools.cache
def recorded() -> dict[str, np.ndarray[Any, Any]]:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for path in FOLDER.glob("recorded_*.npz"):
        arrays |= np.load(path)
    return arrays


def arrays_of(name: str, kind: str) -> list[np.ndarray[Any, Any]]:
    keys = sorted(key for key in recorded() if key.startswith(f"{name}/{kind}"))
    assert keys
    return [recorded()[key] for key in keys]


def assert_predicts(model: Any, name: str) -> None:
    inputs = arrays_of(name, "x")
    found = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    found = found if isinstance(found, list) else [found]
    tolerance = TOLERANCES.get(name, 1e-5)
    for actual, expected in zip(found, arrays_of(name, "y"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_every_recording_has_its_file() -> None:
    names = {key.partition("/")[0] for key in recorded()}
    assert names - {"tf_keras_2.15_architecture"} == {Path(file).stem for file in WHOLE}
    assert len(WHOLE) >= 44


@pytest.mark.parametrize("file", [name for name in WHOLE if "lambda" not in name])
def test_predictions(file: str) -> None:
    assert_predicts(load_model(FOLDER / file, compile=False), Path(file).stem)


def test_activations_stored_under_the_name_of_a_lambda() -> None:
    path = FOLDER / "tf_keras_2.15_lambda_activation.h5"
    with pytest.raises(FormatError, match="<lambda>"):
        load_model(path)
    told = load_model(path, activations={"<lambda>": "relu"})
    assert_predicts(told, path.stem)
    passed = load_model(path, custom_objects={"<lambda>": told.layers[0].activation})
    assert_predicts(passed, path.stem)


def test_an_architecture_with_weights_beside_it() -> None:
    path = FOLDER / "tf_keras_2.15_architecture.json"
    assert json.loads(path.read_text())["keras_version"].startswith("2.15")
    model = load_model(path)
    model.load_weights(path.with_suffix(".h5"))
    assert_predicts(model, path.stem)
