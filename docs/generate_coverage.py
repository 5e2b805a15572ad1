"""Writes docs/coverage.md: the public names of Keras, and which of them are here.

    python docs/generate_coverage.py

A test holds the file against what this writes.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

SECTIONS = (
    "layers",
    "models",
    "ops",
    "activations",
    "initializers",
    "regularizers",
    "constraints",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "callbacks",
    "datasets",
    "utils",
    "random",
    "applications",
    "saving",
)
HEADER = """# Coverage

Which public names of Keras 3.15 are in kcompile. `docs/generate_coverage.py` writes this file, and
the tests check it. A name under *missing* is not there: importing it is an `ImportError`, and
an argument that is not there raises `NotImplementedError`.

Every layer listed as *here* trains on XLA and exports to ONNX.

| module | here | missing |
|---|---|---|
"""


def public_names(module: object) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def section(name: str) -> tuple[list[str], list[str]]:
    """Names of one Keras module that are here, and those that are not."""
    theirs = public_names(importlib.import_module(f"keras.{name}"))
    try:
        ours = public_names(importlib.import_module(f"kcompile.{name}"))
    except ModuleNotFoundError:
        ours = set()
    return sorted(theirs & ours), sorted(theirs - ours)


def coverage() -> str:
    """The text of docs/coverage.md."""
    found = {name: section(name) for name in SECTIONS}
    rows = [f"| {name} | {len(here)} | {len(gone)} |" for name, (here, gone) in found.items()]
    parts = [HEADER + "\n".join(rows)]
    for name, (here, gone) in found.items():
        parts.append(f"## {name}\n\n*Here*: {_listed(here)}\n\n*Missing*: {_listed(gone)}")
    return "\n\n".join(parts) + "\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


if __name__ == "__main__":
    Path(__file__).with_name("coverage.md").write_text(coverage())
