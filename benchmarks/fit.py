"""Seconds per epoch of `fit`, here and in Keras on JAX: the same models, data and settings.

    python benchmarks/fit.py [--rounds 3]

Each measurement is a process of its own, the two in turn. The first epoch, which compiles, does not
count; the median of the others does. What counts is the ratio within a round.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

#: Name -> rows, shape of a row, classes, batch size, epochs, validation split.
WORKLOADS = {
    "iris": (120, (4,), 3, 32, 100, 0.2),
    "mlp": (12800, (784,), 10, 128, 4, 0.0),
    "cnn": (1024, (28, 28, 1), 10, 128, 4, 0.0),
}


def layers_of(name: str, L: Any) -> list[Any]:
    if name == "iris":
        return [L.Dense(4, activation="relu"), L.Dense(3, activation="softmax")]
    if name == "mlp":
        hidden = [L.Dense(512, activation="relu"), L.Dense(512, activation="relu")]
        return [*hidden, L.Dense(10, activation="softmax")]
    convolutions = [L.Conv2D(32, 3, activation="relu"), L.Conv2D(64, 3, activation="relu")]
    head = [L.Flatten(), L.Dense(128, activation="relu"), L.Dense(10, activation="softmax")]
    return [*convolutions, L.MaxPooling2D(2), *head]


def measure(library: str, name: str) -> dict[str, float]:
    """Median seconds of an epoch, and seconds to the end of the first."""
    start = time.perf_counter()
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["KCOMPILE_COMPILE_CACHE"] = "0"  # compiling is a part of the first epoch
    K = importlib.import_module(library)
    importlib.import_module(f"{library}.layers")
    num_rows, shape, num_classes, batch_size, epochs, split = WORKLOADS[name]
    rng = np.random.default_rng(0)
    x = rng.random((num_rows, *shape), dtype=np.float32)
    y = np.eye(num_classes, dtype=np.float32)[rng.integers(0, num_classes, num_rows)]
    model = K.Sequential([K.Input(shape), *layers_of(name, K.layers)])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    ends: list[float] = []
    callback = K.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
    )
    model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=epochs,
        validation_split=split,
        verbose=0,
        callbacks=[callback],
    )
    epoch = statistics.median(np.diff(ends))
    return {"epoch": float(epoch), "first": ends[0] - start}


def run(library: str, name: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--run", library, name]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--run", nargs=2, metavar=("LIBRARY", "WORKLOAD"))
    options = arguments.parse_args()
    if options.run:
        print(json.dumps(measure(*options.run)))
        return
    print(
        "| workload | Keras, ms an epoch | kcompile | ratio of epochs | ratio to the first epoch |"
    )
    print("|---|---|---|---|---|")
    for name in WORKLOADS:
        rounds = [(run("keras", name), run("kcompile", name)) for _ in range(options.rounds)]
        theirs, ours = (statistics.median(r[i]["epoch"] for r in rounds) * 1e3 for i in (0, 1))
        ratio = statistics.median(a["epoch"] / b["epoch"] for a, b in rounds)
        first = statistics.median(a["first"] / b["first"] for a, b in rounds)
        print(f"| {name} | {theirs:.1f} | {ours:.1f} | {ratio:.2f}x | {first:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
