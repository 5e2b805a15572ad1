"""`kcompile verify`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.cli.loading import Source, load
from kcompile.cli.options import Ends
from kcompile.cli.running import print_json, progress, say
from kcompile.compiler import verify_file
from kcompile.ir.errors import DataError


def verify_files(source: Source, onnx: Path, ends: Ends, data: Path | None, as_json: bool) -> None:
    """Hold an ONNX file against the model in another one."""
    arrays = None if data is None else read_arrays(data)
    with progress() as stage:
        stage("reading")
        model = load(source).model
        stage("verifying")
        verification = verify_file(model, onnx, ends.interface(model), arrays)
    if as_json:
        print_json({"model": str(onnx), "verification": verification})
        return
    for key, value in verification.items():
        say(f"{key}: {value}")


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays in a `.npz` file, by name.

    Raises:
        DataError: it is none, or holds something else than numbers.
    """
    if not zipfile.is_zipfile(path):
        raise DataError("it is no .npz file", where=str(path), hint="Make it by numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError("it is no .npz file of numbers", where=str(path)) from error
