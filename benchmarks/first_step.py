"""Seconds from process start to the first training step: without, with a cold, with a warm cache.

    python benchmarks/first_step.py [--rounds 3]

Each process trains an MLP or a CNN in the same way; the three ways take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

WAYS = ("no cache", "cold", "warm")


def child(kind: str, start: float) -> None:
    import numpy as np

    import kcompile
    from kcompile.layers import (
        BatchNormalization,
        Conv2D,
        Dense,
        Dropout,
        Flatten,
        Input,
        MaxPooling2D,
    )

    class FirstStep(kcompile.callbacks.Callback):
        seconds: float | None = None

        def on_train_batch_end(self, batch, logs=None):
            if self.seconds is None:
                self.seconds = time.time() - start

    random = np.random.default_rng(0)
    head = [Dense(128, activation="relu"), Dense(10, activation="softmax")]
    if kind == "mlp":
        x = random.random((2048, 784), np.float32)
        body = [Dense(256, activation="relu"), Dropout(0.2)]
    else:
        x = random.random((256, 28, 28, 1), np.float32)
        body = []
        for filters in (32, 64):
            body += [Conv2D(filters, 3, activation="relu"), BatchNormalization(), MaxPooling2D()]
        body.append(Flatten())
    model = kcompile.Sequential([Input(x.shape[1:]), *body, *head])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    first = FirstStep()
    y = random.integers(0, 10, len(x))
    model.fit(x, y, batch_size=64, verbose=0, callbacks=[first])
    print(first.seconds)


def measure(kind: str, way: str, home: str) -> float:
    environment = {**os.environ, "KCOMPILE_HOME": home}
    environment["KCOMPILE_COMPILE_CACHE"] = "0" if way == "no cache" else "1"
    command = [sys.executable, __file__, "--child", kind, "--start", str(time.time())]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child")
    parser.add_argument("--start", type=float)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.start)
        return
    for kind in ("mlp", "cnn"):
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as home:
                for way in WAYS:
                    seconds[way].append(measure(kind, way, home))
        medians = (f"{way} {statistics.median(found):.2f}" for way, found in seconds.items())
        print(f"{kind}: {', '.join(medians)}", flush=True)


if __name__ == "__main__":
    main()
