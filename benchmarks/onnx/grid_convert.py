"""Converts models of the grid: with kcompile, or by the export of the Keras that is installed.

python benchmarks/onnx/grid_convert.py kcompile|keras
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from grid_worker import Job, serve


def with_kcompile() -> Any:
    import kcompile

    def convert(job: Job) -> Job:
        kcompile.compile(kcompile.models.load_model(job["source"]), path=job["target"])
        return {}

    return convert


def with_keras() -> Any:
    import keras

    route = importlib.import_module("route_keras")

    def convert(job: Job) -> Job:
        keras.utils.clear_session()
        model = keras.saving.load_model(job["source"], compile=False)
        route.convert(model, Path(job["source"]), Path(job["target"]))
        return {}

    return convert


if __name__ == "__main__":
    serve({"kcompile": with_kcompile, "keras": with_keras}[sys.argv[1]]())
