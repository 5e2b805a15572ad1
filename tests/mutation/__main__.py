"""`python -m tests.mutation`: plants each wrong rewrite in a copy, and runs the passes' tests.

Prints one line for each mutant; the exit code is 1 if one is not caught, or no longer fits.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.mutants import Mutant, read_mutants

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants with one of these in it: a,b")
    parser.add_argument("--deselect", action="append", default=[], help="a test to leave out")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    mutants = [m for m in read_mutants() if any(part in m.file + m.what for part in parts)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        _copy(copy)
        left_out = [f"--deselect={test}" for test in arguments.deselect]
        if not _passes(copy, ["tests/passes", *left_out]):
            print("the tests fail without any mutant")
            return 1
        survivors = [mutant for mutant in mutants if not _is_caught(copy, mutant, left_out)]
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants caught")
    return 1 if survivors else 0


def _copy(folder: Path) -> None:
    for name in ("passes", "runtimes", "tests", "kcompile"):
        shutil.copytree(
            ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)


def _is_caught(folder: Path, mutant: Mutant, left_out: list[str]) -> bool:
    path, start = folder / mutant.file, time.monotonic()
    source = path.read_text()
    if source.count(mutant.old) != 1:
        print(f"STALE     {mutant.file}: {mutant.what}", flush=True)
        return False
    path.write_text(source.replace(mutant.old, mutant.new))
    try:
        own = f"tests/passes/test_{path.stem}.py"
        files = [own] if (folder / own).exists() else []
        caught = any(not _passes(folder, [name, *left_out]) for name in (*files, "tests/passes"))
    finally:
        path.write_text(source)
    seconds = f"{time.monotonic() - start:.0f} s"
    print(
        f"{'caught  ' if caught else 'SURVIVED'}  {mutant.file}: {mutant.what} ({seconds})",
        flush=True,
    )
    return caught


def _passes(folder: Path, tests: list[str]) -> bool:
    """Whether the tests pass, with the sources of the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
