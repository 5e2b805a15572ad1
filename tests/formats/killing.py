"""Saves that are killed: `python -m tests.formats.killing FORMAT FOLDER` prints what they left.

A model is saved, and saved again with other weights, by processes that are killed at one of their
calls of functions, the ones of the libraries' own code included: at some from beginning to end, and
at each of the last ones. For each of them a line tells the call and what the file is afterwards.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kcompile

NUM_MOMENTS, NUM_LAST = 15, 15
NAMES = {
    "keras": "m.keras",
    "h5": "m.h5",
    "weights": "m.weights.h5",
    "onnx": "m.onnx",
}


def model(value: float) -> Any:
    layers = kcompile.layers
    made = kcompile.Sequential(
        [layers.Input((4,), name="x"), layers.Dense(50, name="a"), layers.Dense(3, name="b")],
        name="m",
    )
    made.set_weights([np.full(weight.shape, value, "f4") for weight in made.weights])
    return made


def writer(kind: str, made: Any, path: Path) -> Callable[[], Any]:
    if kind == "weights":
        return lambda: made.save_weights(path)
    if kind == "onnx":
        return lambda: kcompile.compile(made, path=path, verify=False)
    return lambda: made.save(path)


def killed_at(write: Callable[[], Any], call: int) -> bool:
    """Whether a process that writes is killed at its call of that number, and not done before."""
    process = os.fork()
    if not process:
        count = 0

        def hook(*event: Any) -> None:
            nonlocal count
            count += 1
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(hook)
        write()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def num_calls(write: Callable[[], Any]) -> int:
    """How many calls a process that writes makes."""
    low, high = 0, 1
    while killed_at(write, high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if killed_at(write, middle) else (low, middle)
    return low


def value_of(path: Path) -> float:
    """The number that all weights are; a `.keras` file tells its time and differs by that."""
    return float(kcompile.models.load_model(path).get_weights()[0][0, 0])


def main(kind: str, folder: Path) -> None:
    path = folder / NAMES[kind]
    old, new = writer(kind, model(1.0), path), writer(kind, model(2.0), path)
    new()
    written = path.read_bytes()
    old()
    before = path.read_bytes()
    calls = num_calls(new)
    path.write_bytes(before)
    step = max(1, calls // NUM_MOMENTS)
    moments = {*range(1, calls, step), *range(max(1, calls - NUM_LAST), calls + 1)}
    # What is written is written near the end.
    moments |= {calls - int(1.5**power) for power in range(40) if 1.5**power < calls}
    for call in sorted(moments):
        killed = killed_at(new, call)
        found = path.read_bytes()
        is_new = found == written or (kind == "keras" and value_of(path) == 2.0)
        state = "old" if found == before else "new" if is_new else "damaged"
        print(call, "killed" if killed else "done", state)
        path.write_bytes(before)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
