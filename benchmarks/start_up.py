"""Seconds that `kcompile compile` takes for a small file, beside what the imports it needs take.

    python benchmarks/start_up.py [--pairs 10] [FILE]

FILE is a model; by default a convolutional one of 1 MB is made. Each measurement is a process of
its own, the two kinds in turn; what counts is the median of the ratios within the pairs. Bytecode
is kept from one process to the next, as it is where a package is installed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORTS = "import numpy, h5py, onnx, onnxruntime"


def seconds(cache: Path, *command: str) -> float:
    """How long a process takes whose bytecode is kept in the folder `cache`."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def make_model(path: Path) -> None:
    """A file of 1 MB."""
    import kcompile
    from kcompile import layers

    kcompile.utils.set_random_seed(0)
    model = kcompile.Sequential(
        [
            layers.Input((28, 28, 1), name="image"),
            layers.Conv2D(16, 3, activation="relu", name="conv1"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(32, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Flatten(name="flat"),
            layers.Dense(300, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digits"),
        ],
        name="small",
    )
    model.save(path)


def measure(file: Path, folder: Path, pairs: int) -> list[tuple[float, float]]:
    """Seconds of compiling and of the imports, pair by pair; the first pair warms up."""
    command = ("-m", "kcompile", "compile", str(file), "-o", str(folder / "model.onnx"))
    cache = folder / "bytecode"
    found = [(seconds(cache, *command), seconds(cache, "-c", IMPORTS)) for _ in range(pairs + 1)]
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.file
        if file is None:
            file = Path(folder, "small.keras")
            make_model(file)
        found = measure(file, Path(folder), options.pairs)
    ratios = [compiling / imports for compiling, imports in found]
    print(f"compiling {file.name}: {statistics.median(c for c, _ in found):.3f} s")
    print(f"{IMPORTS}: {statistics.median(i for _, i in found):.3f} s")
    print(f"ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
