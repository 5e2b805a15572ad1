"""Where the time goes in ONNX files: milliseconds by operator, as onnxruntime's profiler has them.

python benchmarks/onnx/node_times.py SAMPLES.npz FILE [FILE] [--batch 1] [--runs 20]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnxruntime
from check import feeds


def node_times(
    path: Path, samples: dict[str, np.ndarray], batch: int, runs: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Milliseconds of a run, and how many nodes, by operator; after onnxruntime's own passes."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs = feeds(session, samples, batch)
        for _ in range(runs):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    milliseconds: defaultdict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    kernels = [e for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")]
    for event in kernels:
        operator = event["args"]["op_name"]
        milliseconds[operator] += event["dur"] / 1e3 / runs
        count[operator] += 1
    return milliseconds, {name: n // runs for name, n in count.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with np.load(options.samples) as arrays:
        samples = dict(arrays)
    found = [node_times(file, samples, options.batch, options.runs) for file in options.files]
    operators = {name for milliseconds, _ in found for name in milliseconds}
    print("operator", *(f"{file.parent.name}/{file.name}" for file in options.files), sep=" | ")
    for name in sorted(operators, key=lambda key: -max(times.get(key, 0) for times, _ in found)):
        cells = (f"{times.get(name, 0):.3f} ms ({count.get(name, 0)})" for times, count in found)
        print(name, *cells, sep=" | ")
    print("sum", *(f"{sum(times.values()):.3f} ms" for times, _ in found), sep=" | ")


if __name__ == "__main__":
    main()
