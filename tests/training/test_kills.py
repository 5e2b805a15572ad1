"""Training that is killed at any moment ends as if it had not been."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

NURSERY = Path(__file__).with_name("nursery.py")
ROOT = NURSERY.parents[2]
NUM_KILLS = 20
#: Of a run, at most.
SECONDS = 120.0

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")


class Nursery:
    """Starts runs, each in a process of its own.

    Args:
        save_freq, kind: of every run.
        folder: for all files.
    """

    def __init__(self, save_freq: str, kind: str, folder: Path) -> None:
        self._folder = folder
        self._progress = folder / "progress"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "KCOMPILE_COMPILE_CACHE": "0"}
        self.process = subprocess.Popen(
            [sys.executable, str(NURSERY), save_freq, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def start(self, backup: str, result: str, fatal: int = 0) -> int:
        """The number of the process of a new run."""
        assert self.process.stdin is not None
        names = [str(self._folder / name) for name in (backup, "progress", result)]
        self._progress.unlink(missing_ok=True)
        self.process.stdin.write(" ".join([*names, str(fatal)]) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def wait_for_steps(self, count: int) -> None:
        """Wait until the run has taken so many steps."""
        deadline = time.monotonic() + SECONDS
        while not self._progress.exists() or self._progress.stat().st_size < count:
            assert time.monotonic() < deadline, "the run does not get on"
            time.sleep(0.001)

    def status(self) -> int:
        """How the run ended: 0, or the number of the signal."""
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextlib.contextmanager
def nursery(save_freq: str, kind: str, folder: Path) -> Iterator[Nursery]:
    made = Nursery(save_freq, kind, folder)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


@pytest.mark.parametrize(
    ("save_freq", "kind", "num_kills"), [("3", "arrays", NUM_KILLS), ("epoch", "dataset", 4)]
)
def test_a_run_that_is_killed_ends_bit_by_bit_as_one_that_is_not(
    tmp_path: Path, save_freq: str, kind: str, num_kills: int
) -> None:
    """Killed after random numbers of steps, and now and then in the middle of writing a backup."""
    moments = random.Random(5)
    with nursery(save_freq, kind, tmp_path) as runs:
        runs.start("unused", "whole.npz")
        assert runs.status() == 0
        for number in range(num_kills):
            dies_in_backup = number % 5 == 4
            fatal = moments.randint(1, 2) if dies_in_backup else 0
            pid = runs.start("backup", "killed.npz", fatal)
            if not dies_in_backup:
                runs.wait_for_steps(moments.randint(1, 12))
                time.sleep(moments.uniform(0, 0.01))
                os.kill(pid, signal.SIGKILL)
            assert runs.status() == signal.SIGKILL
        assert (tmp_path / "backup" / "latest.npz").exists()
        runs.start("backup", "killed.npz")
        assert runs.status() == 0
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "killed.npz") as killed:
        assert set(whole.files) == set(killed.files)
        for name in whole.files:
            np.testing.assert_array_equal(killed[name], whole[name], err_msg=name)
    assert not (tmp_path / "backup").exists()
