"""Saves that are killed: the file is the old one or the new one, and what is left is no model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kcompile.ir.errors import FormatError
from kcompile.models import load_model
from tests.formats import killing


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] if kind == "weights" else [])
        for kind in killing.NAMES
    ],
)
def test_killed_saves(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.formats.killing", kind, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert not done.returncode, done.stderr
    ends = [line.split()[1:] for line in done.stdout.splitlines()]
    assert {"old", "new"} == {state for _, state in ends}
    assert len(ends) > killing.NUM_LAST and {"killed"} == {end for end, _ in ends}
    path = tmp_path / killing.NAMES[kind]
    check_litter(path)
    check_saved(kind, path)


def check_litter(path: Path) -> None:
    """What is left cannot be taken for a model, by its folder or its name."""
    left = [entry for entry in path.parent.rglob("*") if entry != path]
    assert any(entry.is_file() for entry in left)
    for entry in left:
        hidden = entry.relative_to(path.parent).parts[0]
        assert hidden.startswith(f".{path.name}-")
        assert entry.is_dir() or entry.suffix == ".part"
    assert list(path.parent.rglob(f"*{path.suffix}")) == [path]


def check_saved(kind: str, path: Path) -> None:
    """The old file can be read, and replaced by another one."""
    for value in (1.0, 3.0):
        if kind == "onnx":
            run_onnx(path, value)
        elif kind == "weights":
            found = killing.model(0.0)
            found.load_weights(path)
            assert (found.get_weights()[0] == value).all()
        else:
            assert killing.value_of(path) == value
        killing.writer(kind, killing.model(3.0), path)()


def run_onnx(path: Path, value: float) -> None:
    import onnxruntime

    x = np.ones((2, 4), "f4")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(y, (4 * value + value) * value * 50 + value, rtol=1e-5)


def test_a_half_file_is_no_model(tmp_path: Path) -> None:
    """Each beginning of a file, as a killed save leaves it, is refused."""
    path = tmp_path / "m.keras"
    killing.model(1.0).save(path)
    data = path.read_bytes()
    for size in range(0, len(data), len(data) // 20):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError):
            load_model(path)
