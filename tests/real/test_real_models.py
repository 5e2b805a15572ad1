"""Real models: each is read and compiled, and computes what Keras does.

`record_predictions.py` says how what Keras computes was recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import FormatError
from kcompile.models import load_model
from tests.real.conftest import FOLDER
from tests.real.models import MODELS, RealModel, inputs_of

pytestmark = pytest.mark.real

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
RTOL = 1e-4


def parameters(models: list[RealModel]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("model", models, ids=[model.name for model in models])


def path_of(model: RealModel) -> Path:
    return Path(os.environ[FOLDER]) / model.name


@parameters([model for model in MODELS if not model.custom])
def test_predictions_are_those_of_keras(model: RealModel) -> None:
    recorded = RECORDED[model.name]
    loaded = load_model(path_of(model), compile=False)
    arrays = inputs_of([tensor.shape for tensor in loaded.inputs], recorded["num_tokens"])
    executable = kcompile.compile(loaded)
    found = executable.run(dict(zip(loaded.input_names, arrays, strict=True)))
    for array, wanted in zip(found.values(), recorded["outputs"], strict=True):
        assert list(array.shape) == wanted["shape"]
        values = np.reshape(wanted["values"], wanted["shape"])
        np.testing.assert_allclose(array, values, RTOL, RTOL * np.abs(values).max())


@parameters([model for model in MODELS if model.custom])
def test_classes_of_the_packages_own_are_refused_by_name(model: RealModel) -> None:
    with pytest.raises(FormatError, match=model.custom[0]) as raised:
        load_model(path_of(model), compile=False)
    assert "custom_objects={" in str(raised.value)


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    """Of a model of Keras 2.0.5, without any Keras."""
    output = tmp_path / "emotion.onnx"
    source = path_of(MODELS[0])
    command = [sys.executable, "-m", "kcompile", "compile", str(source), "-o", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    assert output.stat().st_size > 100_000
