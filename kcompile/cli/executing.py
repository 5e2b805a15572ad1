"""`kcompile run`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from kcompile.cli.running import print_json, say, show
from kcompile.executable import load_executable
from kcompile.formats.container import is_container
from kcompile.ir.errors import DataError
from kcompile.utils.atomic import replacing


def run_file(
    model: Path, inputs: tuple[str, ...], output: Path | None, trusted: bool, as_json: bool
) -> None:
    """Run an ONNX file, or another executable, on arrays from files."""
    arrays = _read_inputs(inputs)
    executable = _executable(model, trusted)
    start = time.perf_counter()
    results = executable.run(arrays)
    seconds = time.perf_counter() - start
    if output is not None:
        with replacing(output) as part, part.open("wb") as file:
            np.savez(file, **results)
    if as_json:
        outputs = {name: _described(array, output is None) for name, array in results.items()}
        saved = None if output is None else str(output)
        print_json({"outputs": outputs, "seconds": seconds, "output": saved})
        return
    if output is None:
        for name, array in results.items():
            show(f"{name} {array.dtype}{list(array.shape)}", np.array2string(array))
    say(f"ran in {seconds:.4f} s")


def _executable(path: Path, trusted: bool) -> Any:
    if is_container(path):
        return load_executable(path, trusted=trusted)
    # From the path, beside which an ONNX file may have its weights.
    from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable

    return OnnxRuntimeExecutable(path)


def _described(array: np.ndarray[Any, Any], with_values: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    return {**described, "values": array.tolist()} if with_values else described


def _read_inputs(inputs: tuple[str, ...]) -> Any:
    """Arrays by name, or in order.

    Raises:
        click.UsageError: some have a name and some have none, or a name stands twice.
    """
    pairs = [_split(text) for text in inputs]
    named = [name for name, _ in pairs if name is not None]
    if named and len(named) < len(pairs):
        raise click.UsageError("give all inputs by name, or all in order")
    if len(set(named)) < len(named):
        raise click.UsageError("an input is given twice")
    arrays = [_load(path) for _, path in pairs]
    return dict(zip(named, arrays, strict=True)) if named else arrays


def _split(text: str) -> tuple[str | None, Path]:
    """`NAME=FILE`, or a file whose name may have `=` in it."""
    if "=" not in text or Path(text).exists():
        return None, Path(text)
    name, path = text.split("=", 1)
    return name, Path(path)


def _load(path: Path) -> np.ndarray[Any, Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError("it is no .npy file of numbers", where=str(path)) from error
    if not isinstance(array, np.ndarray):
        raise DataError("it holds several arrays", where=str(path), hint="Give a .npy file")
    return array
