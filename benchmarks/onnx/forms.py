"""Which form of an op onnxruntime runs faster: the numbers of `runtimes/onnx/forms.py`.

    python benchmarks/onnx/forms.py [--releases 1.20,1.24,1.32] [--forms NAME;...]

Each form of each case is written twice, with ONNX's own op and with those that it stands for; both
files, and the first once more as the control, take turns in one process of each release, which has
an environment of its own. Prints how many times as fast the op is, for each case, and the geometric
means by release.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from environments import BUILD, make

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.graph import Graph, Value
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx import export_graph, forms

HERE = Path(__file__).resolve().parent
BATCHES = (1, 8)
RNG = np.random.default_rng(0)
Body = Callable[[Builder, Value], Value]


def _graph(shape: tuple[int, ...], body: Body) -> Graph:
    builder = Builder("form")
    x = builder.input("x", TensorType(DType.FLOAT32, (symbol("batch"), *shape)))
    return builder.finish([("y", body(builder, x))])


def _weights(builder: Builder, size: int) -> tuple[Value, Value]:
    gamma, beta = (builder.constant(RNG.normal(size=size).astype(np.float32)) for _ in range(2))
    return gamma, beta


def _gelu(approximate: bool) -> Body:
    return lambda builder, x: builder.emit(ops.Gelu(approximate), x)[0]


def _attention(num_heads: int) -> Body:
    def body(builder: Builder, x: Value) -> Value:
        width = x.type.shape[-1]
        assert isinstance(width, int)
        scale = (width // num_heads) ** -0.5
        return builder.emit(ops.Attention(scale=scale, num_heads=num_heads), x, x, x)[0]

    return body


def _group_norm(builder: Builder, x: Value) -> Value:
    weights = _weights(builder, int(x.type.shape[1]))  # type: ignore[call-overload]
    return builder.emit(ops.GroupNorm(groups=8, axis=1), x, *weights)[0]


def _layer_norm(builder: Builder, x: Value) -> Value:
    weights = _weights(builder, int(x.type.shape[-1]))  # type: ignore[call-overload]
    return builder.emit(ops.LayerNorm((-1,)), x, *weights)[0]


def _rms_norm(builder: Builder, x: Value) -> Value:
    gamma, _ = _weights(builder, int(x.type.shape[-1]))  # type: ignore[call-overload]
    return builder.emit(ops.RmsNorm((-1,)), x, gamma)[0]


def _residual(builder: Builder, x: Value) -> Value:
    y = builder.emit(ops.Add(), x, builder.emit(ops.Tanh(), x)[0])[0]
    return _layer_norm(builder, y)


WIDE, DEEP = (64, 512), (128, 1024)
CASES: dict[str, tuple[Body, tuple[tuple[int, ...], ...]]] = {
    "Attention": (_attention(8), ((64, 256), (128, 512), (256, 512))),
    "Gelu": (_gelu(False), (WIDE, DEEP)),
    "Gelu, tanh": (_gelu(True), (WIDE, DEEP)),
    "GroupNormalization": (_group_norm, ((32, 28, 28), (64, 56, 56))),
    "LayerNormalization": (_layer_norm, (WIDE, DEEP)),
    "RMSNormalization": (_rms_norm, (WIDE, DEEP)),
    "Sum": (_residual, (WIDE, DEEP)),
}


def export(name: str, graph: Graph, is_taken: bool, path: Path) -> None:
    """Write a graph with the op, or with what it stands for."""
    form = forms.FORMS[name]
    forms.FORMS[name] = forms.Form(form.opset, {0: 2.0 if is_taken else 0.5})
    try:
        model = export_graph(graph, opset=form.opset)
    finally:
        forms.FORMS[name] = form
    path.write_bytes(model.SerializeToString(deterministic=True))


def speeds(python: Path, folder: Path, batch: int) -> tuple[float, float]:
    """How many times as fast the op is, and the same of the op beside itself; median sessions."""
    op, others = folder / "op.onnx", folder / "others.onnx"
    files = [str(folder / "samples.npz"), str(op), str(op), str(others)]
    flags = ["--batch", str(batch), "--sessions", "5", "--seconds", "0.2"]
    command = [str(python), str(HERE / "latency.py"), *files, *flags]
    sessions = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    first, again, several = (list(column) for column in zip(*sessions, strict=True))
    ratio = [other / own for own, other in zip(first, several, strict=True)]
    control = [other / own for own, other in zip(first, again, strict=True)]
    return statistics.median(ratio), statistics.median(control)


def measure(name: str, release: str) -> list[float]:
    """The speed in each case, which is printed; none where the release does not know the op."""
    body, shapes = CASES[name]
    python = make(f"onnxruntime-{release}")
    found = []
    for shape in shapes:
        folder = BUILD / "forms" / name.replace(", ", "_") / "x".join(map(str, shape))
        folder.mkdir(parents=True, exist_ok=True)
        graph = _graph(shape, body)
        for file, is_taken in (("op.onnx", True), ("others.onnx", False)):
            export(name, graph, is_taken, folder / file)
        x = RNG.normal(size=(max(BATCHES), *shape)).astype(np.float32)
        np.savez(folder / "samples.npz", names=["x"], in_0=x)
        for batch in BATCHES:
            speed, control = speeds(python, folder, batch)
            found.append(speed)
            print(
                f"| {release} | {name} | {batch}x{shape} | {speed:.2f} | {control:.2f} |",
                flush=True,
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", default="1.20,1.24,1.32")
    parser.add_argument("--forms", default=";".join(CASES))
    options = parser.parse_args()
    from kcompile.runtimes.onnx.releases import parse_release

    means: dict[str, dict[int, float]] = {name: {} for name in options.forms.split(";")}
    print("| onnxruntime | op | input | times as fast | control |\n|---|---|---|---|---|")
    for release in options.releases.split(","):
        limits = parse_release(f"onnxruntime=={release}")
        for name, mean in means.items():
            if forms.FORMS[name].opset <= limits.opset:
                mean[limits.number] = round(statistics.geometric_mean(measure(name, release)), 2)
    print(json.dumps(means))


if __name__ == "__main__":
    main()
