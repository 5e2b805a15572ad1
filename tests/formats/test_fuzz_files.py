"""Files with bytes changed at random: read, or refused by a typed error; never anything else.

`KCOMPILE_FUZZ_SECONDS` sets how long the slow test goes on, `KCOMPILE_FUZZ_START` from which case.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kcompile.ir.errors import KCompileError
from kcompile.models import load_model
from tests.formats import fuzzing

#: Ends of the process that are the HDF5 library's, which `isolate` keeps from the caller.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)


def run_cases(folder: Path, start: int, end: int, seconds: float) -> list[str]:
    """Try cases; what went wrong."""
    log, wrong = folder / "log", []
    while start < end:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.formats.fuzzing",
                *map(str, (folder, start, end, seconds)),
            ],
            stderr=subprocess.PIPE,
            timeout=seconds + 120,
        )
        lines = log.read_text(encoding="utf-8").splitlines()
        if done.returncode == 0:
            break
        assert done.returncode < 0, done.stderr.decode()
        name = signal.Signals(-done.returncode).name
        if -done.returncode not in CRASHES or not is_refused_in_isolation(folder / "case"):
            wrong.append(f"{lines[-1]}{name}")
        start = int(lines[-1].split()[0]) + 1
    return wrong + [line for line in log.read_text("utf-8").splitlines() if "FAILED" in line]


def is_refused_in_isolation(case: Path) -> bool:
    """Whether the model that crashed its reader is refused where another process reads it."""
    for path in (case / "m.h5", case / "m.keras"):
        if path.exists():
            with contextlib.suppress(KCompileError):
                load_model(path, isolate=True)
                return False
    return True


def test_changed_files(tmp_path: Path) -> None:
    number = 120
    assert run_cases(tmp_path, 0, number, 60.0) == []
    log = (tmp_path / "log").read_text("utf-8")
    found = set(re.findall(r"^\d+ ([\w ]+): (\w+)", log, re.MULTILINE))
    kinds = fuzzing.seeds(tmp_path)
    assert found == {(kind, end) for kind in kinds for end in ("read", "refused")}


@pytest.mark.slow
def test_many_changed_files(tmp_path: Path) -> None:
    start = int(os.environ.get("KCOMPILE_FUZZ_START", "1000"))
    seconds = float(os.environ.get("KCOMPILE_FUZZ_SECONDS", "120"))
    assert run_cases(tmp_path, start, start + 10**9, seconds) == []


def test_what_goes_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash is tried again in isolation, where a file that can be read is no crash."""
    kinds = fuzzing.seeds(tmp_path)
    fuzzing.write(tmp_path, "h5", kinds["h5"])
    assert not is_refused_in_isolation(tmp_path)
    (tmp_path / "m.h5").write_bytes(kinds["h5"]["m.h5"][:5000])
    assert is_refused_in_isolation(tmp_path)


def test_changed_members_reach_the_reader(tmp_path: Path) -> None:
    """The archive's checksums are those of what was changed."""
    files = fuzzing.seeds(tmp_path)["keras"]
    files["config.json"] = files["config.json"].replace(b'"units": 3', b'"units": 5', 1)
    path = fuzzing.write(tmp_path, "keras", files)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with pytest.raises(KCompileError, match=r"^m\.keras/config\.json: .*file says \[None, 3\]"):
        load_model(path)
