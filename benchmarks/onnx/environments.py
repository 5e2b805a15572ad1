"""A virtual environment for each framework that a route needs, in build/bench-onnx/environments/.

    python benchmarks/onnx/environments.py [NAME ...]

An environment is made once, from pinned versions, and made anew where its list has changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import frameworks

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
    return frameworks.interpreter(BUILD, name)


def make(name: str) -> Path:
    """Its interpreter. Raises subprocess.CalledProcessError where pip finds no such versions."""
    return frameworks.make(BUILD, name, PACKAGES[name])


if __name__ == "__main__":
    for environment in sys.argv[1:] or PACKAGES:
        print(make(environment))
