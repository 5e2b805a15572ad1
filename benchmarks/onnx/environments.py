"""A virtual environment for each framework that a route needs, in build/bench-onnx/environments/.

    python benchmarks/onnx/environments.py [NAME ...]

An environment is made once, from pinned versions, and made anew where its list has changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench-onnx"

#: Environment -> what pip installs there.
PACKAGES = {
    "tensorflow": ("keras==3.15.1", "tensorflow-cpu==2.21.0", "tf2onnx==1.17.0"),
    "jax": ("keras==3.15.1", "jax==0.10.2", "jax2onnx==0.17.1"),
    **{
        f"onnxruntime-{release}": (f"onnxruntime=={release}.*", "onnx==1.20.0", "numpy<2.3")
        for release in ("1.20", "1.24", "1.32")
    },
    "torch": ("keras==3.15.1", "torch==2.13.0", "onnxscript==0.7.2"),
}


def interpreter(name: str) -> Path:
    return BUILD / "environments" / name / "bin" / "python"


def make(name: str) -> Path:
    """Its interpreter. Raises subprocess.CalledProcessError where pip finds no such versions."""
    python = interpreter(name)
    packages = "\n".join(PACKAGES[name])
    stamp = python.parents[1] / "packages.txt"
    if stamp.is_file() and stamp.read_text() == packages:
        return python
    shutil.rmtree(stamp.parent, ignore_errors=True)
    venv.create(stamp.parent, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]]
    subprocess.run(command, check=True)
    stamp.write_text(packages)
    return python


if __name__ == "__main__":
    for environment in sys.argv[1:] or PACKAGES:
        print(make(environment))
