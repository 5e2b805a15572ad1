"""What is trained, on which data, and how a run is measured; for every peer, with NumPy alone."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench-train"
IRIS = BUILD / "iris.npz"

VOCABULARY, SENTENCE = 20000, 80
TEXT, WIDTH, HEADS, INNER, BLOCKS = 128, 128, 4, 512, 2
ENTITIES, ENTITY_WIDTH = 100_000, 32
LEARNING_RATE, EPSILON = 1e-3, 1e-7


@dataclasses.dataclass(frozen=True)
class Workload:
    """Rows of an epoch, cut into batches; the last fifth validates if `validates`.

    The loss is categorical ("cce"), of class numbers ("scce"), or binary ("bce"). Goals are times
    faster per step than Keras on JAX, and seconds to the end of the first step.
    """

    batch: int
    rows: int
    epochs: int
    loss: str
    goal: float
    validates: bool = False
    measures_accuracy: bool = True
    first_step_goal: float | None = None


WORKLOADS = {
    "iris_mlp": Workload(32, 120, 100, "cce", 6, validates=True),
    "mlp_32": Workload(32, 48000, 3, "cce", 1.1),
    "mlp_128": Workload(128, 48000, 4, "cce", 1.25, first_step_goal=2.5),
    "mnist_cnn": Workload(128, 128 * 16, 4, "cce", 4, first_step_goal=3),
    "resnet20": Workload(64, 64 * 8, 4, "scce", 2.3, first_step_goal=4),
    "lstm": Workload(64, 64 * 15, 4, "bce", 1.45),
    "transformer": Workload(32, 32 * 8, 4, "scce", 1.4),
    "autoencoder": Workload(128, 128 * 10, 4, "bce", 3.3, measures_accuracy=False),
    "recommender": Workload(1024, 1024 * 30, 4, "bce", 3.9),
}


def load(name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The inputs, images as `[N, H, W, C]`, and the targets; random but for iris."""
    rows = WORKLOADS[name].rows
    rng = np.random.default_rng(0)
    if name == "iris_mlp":
        with np.load(IRIS) as iris:
            chosen = np.random.default_rng(1).permutation(len(iris["x"]))[:rows]
            return [iris["x"][chosen]], _one_hot(iris["y"][chosen], 3)
    if name in ("mlp_32", "mlp_128"):
        return [_pixels(rng, (rows, 784))], _one_hot(rng.integers(0, 10, rows), 10)
    if name == "mnist_cnn":
        return [_pixels(rng, (rows, 28, 28, 1))], _one_hot(rng.integers(0, 10, rows), 10)
    if name == "resnet20":
        return [_pixels(rng, (rows, 32, 32, 3))], rng.integers(0, 10, rows).astype(np.int32)
    if name == "lstm":
        words = rng.integers(0, VOCABULARY, (rows, SENTENCE)).astype(np.int32)
        return [words], rng.integers(0, 2, (rows, 1)).astype(np.float32)
    if name == "transformer":
        words = rng.integers(0, VOCABULARY, (rows, TEXT)).astype(np.int32)
        return [words], rng.integers(0, 2, rows).astype(np.int32)
    if name == "autoencoder":
        images = _pixels(rng, (rows, 28, 28, 1))
        return [images], images
    users, items = (rng.integers(0, ENTITIES, (rows, 1)).astype(np.int32) for _ in range(2))
    return [users, items], rng.integers(0, 2, (rows, 1)).astype(np.float32)


def num_training_rows(name: str) -> int:
    """The rows that are trained on, those before the ones that validate."""
    workload = WORKLOADS[name]
    return int(workload.rows * 0.8) if workload.validates else workload.rows


class Meter:
    """Collects what one process measures; seconds count from its start.

    Args:
        name: of the workload.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = float(os.environ["BENCH_START"])
        self._data_seconds = 0.0
        self._first_step: float | None = None
        self._epochs: list[float] = []
        self._losses: list[float] = []

    def load(self) -> tuple[list[np.ndarray], np.ndarray]:
        """The data; the time for making them does not count."""
        start = time.time()
        data = load(self._name)
        self._data_seconds = time.time() - start
        return data

    def step_done(self) -> None:
        """Note the end of a step, of which the first counts."""
        if self._first_step is None:
            self._first_step = time.time() - self._start - self._data_seconds

    def epoch_done(self, seconds: float, loss: float) -> None:
        """Note an epoch, validation included."""
        self._epochs.append(seconds)
        self._losses.append(float(loss))

    def report(self) -> None:
        """Print what was measured as a line of JSON; the first epoch, which compiles, is left out.

        Where a step was noted, that is the time of the first.
        """
        figures: dict[str, Any] = {"first_step_s": self._first_step}
        if self._first_step is None:
            steps = -(-num_training_rows(self._name) // WORKLOADS[self._name].batch)
            figures = {
                "step_ms": statistics.median(self._epochs[1:]) / steps * 1e3,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "losses": [round(self._losses[0], 3), round(self._losses[-1], 3)],
            }
        print(json.dumps(figures), flush=True)


def _pixels(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 256, shape, dtype=np.uint8).astype(np.float32) / 255


def _one_hot(classes: np.ndarray, num_classes: int) -> np.ndarray:
    return np.eye(num_classes, dtype=np.float32)[classes]
