"""Files taken apart in another process: the same models, and nothing that crashes the caller."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import kcompile
from kcompile.formats import isolation
from kcompile.formats.isolation import isolated_copy
from kcompile.ir.errors import FormatError
from kcompile.models import load_model
from tests.formats.models import cnn, randomize


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_the_same_model(name: str, tmp_path: Path) -> None:
    model = cnn(kcompile)
    randomize(model)
    model.compile("adam", "mse", metrics=["mae"])
    model.save(tmp_path / name)
    again = load_model(tmp_path / name, isolate=True)
    for found, wanted in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert again.to_json() == model.to_json()
    assert again.optimizer.name == "adam"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_an_architecture_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.subprocess, "run", None)
    (tmp_path / "m.json").write_text(cnn(kcompile).to_json(), encoding="utf-8")
    assert load_model(tmp_path / "m.json", isolate=True).name == "cnn"


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(FormatError, match=r"^m\.h5: weights: it is a link to another place"):
        load_model(path, isolate=True)


def saved(path: Path) -> Path:
    cnn(kcompile).save(path)
    return path


def running(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the process run other code, as a file that breaks the HDF5 library would."""
    run = isolation.subprocess.run

    def other(command: list[str], **options: Any) -> Any:
        return run([sys.executable, "-c", code, *command[4:]], **options)

    monkeypatch.setattr(isolation.subprocess, "run", other)


def test_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})")
    with pytest.raises(FormatError, match=r"m\.keras: the process .* failed: signal SIGSEGV"):
        load_model(saved(tmp_path / "m.keras"), isolate=True)


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, "import time; time.sleep(60)")
    copy = isolated_copy(saved(tmp_path / "m.keras"), seconds=1)
    with pytest.raises(FormatError, match=r"m\.keras: it could not be taken apart in 1 s"):
        copy.__enter__()


def test_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from kcompile.formats import isolated;"
        "isolated.limit(int(sys.argv[3]), int(sys.argv[4])); bytes(2**33)"
    )
    running(monkeypatch, code)
    copy = isolated_copy(saved(tmp_path / "m.keras"), memory=2**32)
    with pytest.raises(FormatError, match=r"failed: more than 4294967296 bytes of memory needed"):
        copy.__enter__()


INDEXES = {
    "key": ('{"texts": {}, "groups": {}, "datasets": {}, "x": 1}', r"x: this key is not under"),
    "object": (
        '{"texts": {}, "groups": {}, "datasets": {"a": ["|O", [1], 0]}}',
        r"datasets\.a: is no array of numbers",
    ),
    "negative": (
        '{"texts": {}, "groups": {}, "datasets": {"a": ["<f4", [-1], 0]}}',
        r"datasets\.a: is no array of numbers",
    ),
    "too long": (
        '{"texts": {}, "groups": {}, "datasets": {"a": ["<f4", [9], 0]}}',
        r"datasets\.a: its data are missing",
    ),
    "no json": ("os", r"it is not JSON"),
}


@pytest.mark.parametrize(("index", "message"), INDEXES.values(), ids=INDEXES)
def test_what_the_process_says_is_not_trusted(
    index: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys, pathlib; folder = pathlib.Path(sys.argv[2]);"
        f"(folder / 'index.json').write_text({index!r}); (folder / 'data.bin').write_bytes(b'1234')"
    )
    running(monkeypatch, code)
    with pytest.raises(FormatError, match=message):
        load_model(saved(tmp_path / "m.h5"), isolate=True)
