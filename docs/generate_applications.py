"""Writes docs/applications.md: every application, measured against Keras's.

Run it from the root of the repository, with `KERAS_BACKEND=jax`, for some or for all models; the
rows of the others stay as they are:

    python docs/generate_applications.py [NAME ...]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

PAGE = ROOT / "docs" / "applications.md"
#: Height and width where the model leaves them open.
OPEN_SIZE = 224
HEADER = """# Applications

The image classifiers of Keras 3.15, by its names, with its layers, weights and preprocessing. This
page is written by `docs/generate_applications.py`.

- *parameters*: as many as Keras's model has.
- *difference*: the largest difference to Keras's logits (JAX backend) for the same random weights,
  passed through a `.weights.h5` file, over the largest logit; two images of the default size.
- *nodes*, *MB*: of the ONNX file, after its verification in onnxruntime.
- *latency*: the median of ten runs of onnxruntime on one image, two cores of a shared machine.
- *train step*: the median of five calls of `train_on_batch` with SGD and two images, after two
  that compile.

| model | parameters | difference | nodes | MB | latency b1, ms | train step, ms |
|---|---|---|---|---|---|---|
"""


def measure(module: str, name: str) -> dict[str, Any]:
    """The row of one model."""
    import kcompile
    from tests.applications.parity import both, randomize

    theirs, ours = both(module, name, weights=None, classifier_activation=None)
    assert theirs.count_params() == ours.count_params()
    randomize(theirs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "handed.weights.h5")
        theirs.save_weights(path)
        ours.load_weights(path)
    shape = [size or OPEN_SIZE for size in ours.input_shape[1:]]
    images = np.random.default_rng(1).uniform(0, 255, (2, *shape)).astype("float32")
    expected = np.asarray(theirs(images, training=False))
    received = ours.predict(images, verbose=0)
    difference = float(np.abs(received - expected).max() / np.abs(expected).max())
    del theirs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        executable = kcompile.compile(ours, "onnx", path)
        size = path.stat().st_size / 2**20
        nodes = executable.report["nodes"]
        one = {ours.input_names[0]: images[:1]}
        executable.run(one)
        latency = statistics.median(_seconds(lambda: executable.run(one)) for _ in range(10))
    ours.compile("sgd", "mse")
    ours.optimizer.learning_rate = 1e-9
    targets = np.zeros((2, ours.output_shape[-1]), "float32")
    ours.train_on_batch(images, targets)
    ours.train_on_batch(images, targets)
    step = statistics.median(
        _seconds(lambda: ours.train_on_batch(images, targets)) for _ in range(5)
    )
    return {
        "parameters": ours.count_params(),
        "difference": difference,
        "nodes": nodes,
        "size": size,
        "latency": latency,
        "step": step,
    }


def _seconds(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def models() -> dict[str, str]:
    """The module of each model."""
    from kcompile import applications

    return dict(sorted(applications._MODELS.items()))


def row_of(name: str, found: dict[str, Any]) -> str:
    return (
        f"| {name} | {found['parameters']:,} | {found['difference']:.1e} | {found['nodes']} |"
        f" {found['size']:.1f} | {1e3 * found['latency']:.1f} | {1e3 * found['step']:.0f} |"
    )


def known_rows() -> dict[str, str]:
    """The rows of the page as it is."""
    if not PAGE.exists():
        return {}
    lines = PAGE.read_text().splitlines()
    rows = (line for line in lines if line.startswith("| ") and not line.startswith("| model"))
    return {line.split(" ")[1]: line for line in rows}


def main(names: list[str]) -> None:
    modules = models()
    rows = known_rows()
    for name in names or modules:
        # A process of its own: memory that one model took is no concern of the next.
        command = [sys.executable, __file__, "--measure", modules[name], name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows[name] = row_of(name, json.loads(text.splitlines()[-1]))
        print(rows[name], flush=True)
        kept = [rows[known] for known in modules if known in rows]
        PAGE.write_text(HEADER + "\n".join(kept) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main(sys.argv[1:])
