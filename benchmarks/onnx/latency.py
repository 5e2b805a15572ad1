"""Milliseconds that onnxruntime takes for files of one model, in turn in one process.

    python benchmarks/onnx/latency.py SAMPLES.npz FILE FILE ... [--batch 1] [--threads 1]
        [--sessions 5] [--seconds 0.5]     prints JSON: [session][file] milliseconds

Sessions of all files are opened anew --sessions times, each time in another order; between them the
runs take turns, forwards and backwards. An entry is the median of the runs of one session. The same
file may be named twice: what lies between those two is noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime
from check import feeds


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(options: argparse.Namespace, samples: dict[str, np.ndarray], turn: int) -> list[float]:
    count = len(options.files)
    order = [(index + turn) % count for index in range(count)][:: 1 if turn % 2 else -1]
    sessions = {index: open_session(options.files[index], options.threads) for index in order}
    inputs = {index: feeds(s, samples, options.batch) for index, s in sessions.items()}
    times: dict[int, list[float]] = {index: [] for index in order}
    begin = time.perf_counter()
    while len(times[0]) < 4 or time.perf_counter() - begin < options.seconds * count:
        order.reverse()
        for index in order:
            # The run before the timed one takes over the caches from another file's.
            sessions[index].run(None, inputs[index])
            start = time.perf_counter()
            sessions[index].run(None, inputs[index])
            times[index].append((time.perf_counter() - start) * 1e3)
    return [statistics.median(times[index][1:]) for index in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    with np.load(options.samples) as arrays:
        samples = dict(arrays)
    print(json.dumps([measure(options, samples, turn) for turn in range(options.sessions)]))


if __name__ == "__main__":
    main()
