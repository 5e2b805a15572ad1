"""Runs of `fit` that may be killed: a process each, forked from one that has imported everything.

    python nursery.py SAVE_FREQ KIND

Reads lines "FOLDER PROGRESS RESULT FATAL" and starts a run for each: its number is printed when it
starts, and its exit status when it has ended. FATAL is the number of the backup in whose middle the
run kills itself, or 0. No backend of JAX is started in this process: it could not be forked then.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax  # noqa: F401
import numpy as np

import kcompile as K
import kcompile.runtimes.jax.training

EPOCHS = 26


class Steps(K.callbacks.Callback):
    """Writes a byte for each step."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        with open(self.path, "ab") as file:
            file.write(b".")


def model() -> Any:
    """With all that has a state: statistics, random numbers, Adam, a schedule."""
    rate = K.optimizers.schedules.ExponentialDecay(0.05, 20, 0.9)
    layers = [
        K.layers.GaussianNoise(0.1, name="noise"),
        K.layers.Dense(8, activation="relu", name="hidden"),
        K.layers.BatchNormalization(name="norm"),
        K.layers.Dropout(0.3, name="drop"),
        K.layers.Dense(1, name="head"),
    ]
    made = K.Sequential([K.Input((4,)), *layers], name="killed")
    made.compile(optimizer=K.optimizers.Adam(rate), loss="mse", metrics=["mae"])
    return made


class Rows(K.utils.PyDataset):
    """The data as batches by number."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return -(-len(self.x) // 8)

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        return self.x[rows], self.y[rows]


def train(folder: str, progress: str, result: str, save_freq: Any, kind: str) -> None:
    K.utils.set_random_seed(11)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    keep = K.callbacks.BackupAndRestore(folder, save_freq)
    callbacks = [keep, Steps(progress)]
    data = {"x": Rows(x, y)} if kind == "dataset" else {"x": x, "y": y, "batch_size": 8}
    made = model()
    history = made.fit(
        **data, epochs=EPOCHS, validation_data=(x, y), verbose=0, callbacks=callbacks
    )
    weights = {f"weight{i}": w for i, w in enumerate(made.get_weights())}
    state = {f"state{i}": np.asarray(v) for i, v in enumerate(made.optimizer.variables)}
    last = {name: np.array(values[-1]) for name, values in history.history.items()}
    np.savez(result, **weights, **state, **last)


def die_in_backup(number: int) -> None:
    """Kill this process when it has written half of that backup."""
    save, count = np.savez, 0

    def half(file: Any, **arrays: Any) -> None:
        nonlocal count
        count += 1
        save(file, **arrays)
        if count == number:
            file.truncate(file.tell() // 2)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = half


def main() -> None:
    save_freq: Any = sys.argv[1] if sys.argv[1] == "epoch" else int(sys.argv[1])
    for line in sys.stdin:
        folder, progress, result, fatal = line.split()
        Path(progress).write_bytes(b"")
        pid = os.fork()
        if not pid:
            if int(fatal):
                die_in_backup(int(fatal))
            train(folder, progress, result, save_freq, sys.argv[2])
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
