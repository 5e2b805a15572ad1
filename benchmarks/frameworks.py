"""A virtual environment for each framework that a benchmark compares with."""

from __future__ import annotations

import shutil
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def interpreter(build: Path, name: str) -> Path:
    """The interpreter of an environment in the folder `build`, which need not be there."""
    return build / "environments" / name / "bin" / "python"


def make(build: Path, name: str, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with those packages.

    It is made once, and made anew where the list has changed.

    Raises:
        subprocess.CalledProcessError: pip finds no such versions.
    """
    python = interpreter(build, name)
    wanted = "\n".join(packages)
    stamp = python.parents[1] / "packages.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(stamp.parent, ignore_errors=True)
    venv.create(stamp.parent, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *packages]
    subprocess.run(command, check=True)
    stamp.write_text(wanted)
    return python
