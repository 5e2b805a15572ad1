"""Milliseconds a step, seconds to the first, and memory, of `fit` here and in other frameworks.

    python benchmarks/training/compare.py [--workloads lstm,...] [--peers kcompile,...] [--rounds 3]

Each measurement is a process; in every round the peers take turns, so what counts is the ratio
within a run. Peers have environments of their own in build/bench-train, made when first needed.
Results are added to build/bench-train/results.jsonl, which `--show` prints again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

import frameworks  # noqa: E402
from workloads import BUILD, IRIS, WORKLOADS  # noqa: E402

RESULTS = BUILD / "results.jsonl"
PACKAGES = {
    "jax": ("keras==3.15.1", "jax==0.10.2"),
    "tensorflow": ("keras==3.15.1", "tensorflow-cpu==2.21.0"),
    "torch": ("torch==2.13.0", "numpy==2.4.6"),
}
IMAGES = {"mnist_cnn", "resnet20", "autoencoder"}
DENSE = {"iris_mlp", "mlp_32", "mlp_128"}
#: Ratios are to this one.
BASE = "keras-jax"
TIMEOUT_SECONDS = 300


class Peer(NamedTuple):
    """A framework with options.

    Attributes:
        environment: of PACKAGES; None for the project's own.
        command: script and options, without the workload.
        workloads: that it runs; None for all.
        variables: of the process.
    """

    environment: str | None
    command: tuple[str, ...]
    workloads: set[str] | None = None
    variables: dict[str, str] = {}


_COLD = {"KCOMPILE_COMPILE_CACHE": "0"}
_JAX = {"KERAS_BACKEND": "jax"}
_TENSORFLOW = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
PEERS = {
    "kcompile": Peer(None, ("peer_keras.py", "kcompile"), None, _COLD),
    "kcompile, warm cache": Peer(None, ("peer_keras.py", "kcompile")),
    "kcompile, memory kept": Peer(
        None, ("peer_keras.py", "kcompile", "--keep-memory"), None, _COLD
    ),
    "kcompile, lazy": Peer(None, ("peer_keras.py", "kcompile", "--lazy"), {"recommender"}, _COLD),
    BASE: Peer("jax", ("peer_keras.py", "keras"), None, _JAX),
    "keras-jax, 16 steps": Peer(
        "jax", ("peer_keras.py", "keras", "--steps-per-execution", "16"), DENSE, _JAX
    ),
    "keras-tensorflow": Peer("tensorflow", ("peer_keras.py", "keras"), None, _TENSORFLOW),
    "torch": Peer("torch", ("peer_torch.py",)),
    "torch, fused Adam": Peer("torch", ("peer_torch.py", "--fused"), DENSE | {"recommender"}),
    "torch, channels last": Peer("torch", ("peer_torch.py", "--fused", "--channels-last"), IMAGES),
    "torch, sparse": Peer("torch", ("peer_torch.py", "--fused", "--sparse"), {"recommender"}),
    "torch.compile": Peer(
        "torch",
        ("peer_torch.py", "--fused", "--compile"),
        {"mlp_128", "mnist_cnn", "resnet20", "lstm", "transformer", "recommender"},
    ),
}


def run(peer: str, workload: str, *options: str) -> dict[str, Any]:
    """What one process measured, or its error."""
    environment, (script, *rest), _, variables = PEERS[peer]
    python = Path(sys.executable)
    if environment is not None:
        python = frameworks.make(BUILD, environment, PACKAGES[environment])
    command = [str(python), str(HERE / script), workload, *rest, *options]
    inherited = {**os.environ, "PYTHONPATH": str(ROOT)} if environment is None else os.environ
    variables = {**inherited, **variables, "BENCH_START": repr(time.time())}
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {TIMEOUT_SECONDS} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}
    return dict(json.loads(lines[-1]))


def measure(workloads: list[str], peers: list[str], rounds: int) -> None:
    """Add the results of all rounds to the file."""
    for workload in workloads:
        own = [p for p in peers if workload in (PEERS[p].workloads or WORKLOADS)]
        for number in range(rounds):
            for peer in own:
                result = run(peer, workload)
                if "error" not in result:
                    result |= run(peer, workload, "--first-step")
                line = {"workload": workload, "peer": peer, "round": number, **result}
                print(json.dumps(line), file=sys.stderr, flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def table(lines: list[dict[str, Any]]) -> str:
    """The results as Markdown: medians over the rounds."""
    head = ["workload", "peer", "ms a step", "times", "first step, s", "peak MB", "losses"]
    rows = [head, ["---"] * len(head)]
    for workload in dict.fromkeys(line["workload"] for line in lines):
        own = [line for line in lines if line["workload"] == workload]
        base = _median(own, BASE, "step_ms")
        for peer in dict.fromkeys(line["peer"] for line in own):
            errors = [x["error"] for x in own if x["peer"] == peer and "error" in x]
            step = _median(own, peer, "step_ms")
            if step is None:
                rows.append([workload, peer, errors[-1] if errors else "", "", "", "", ""])
                continue
            ratio = "" if base is None else f"{base / step:.2f}"
            if peer == "kcompile":
                ratio += f" (goal {WORKLOADS[workload].goal})"
            first, peak = (_median(own, peer, key) for key in ("first_step_s", "peak_mb"))
            losses = next(x["losses"] for x in own if x["peer"] == peer and "losses" in x)
            cells = [f"{step:.3g}", ratio, "" if first is None else f"{first:.1f}"]
            cells += ["" if peak is None else f"{peak:.0f}", f"{losses[0]} to {losses[1]}"]
            rows.append([workload, peer, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _median(lines: list[dict[str, Any]], peer: str, key: str) -> float | None:
    values = [x[key] for x in lines if x["peer"] == peer and x.get(key) is not None]
    return statistics.median(values) if values else None


def _write_iris() -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    BUILD.mkdir(parents=True, exist_ok=True)
    np.savez(IRIS, x=iris.data.astype(np.float32), y=iris.target.astype(np.int32))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workloads", default=",".join(WORKLOADS))
    arguments.add_argument("--peers", default=";".join(PEERS), help="separated by semicolons")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--show", action="store_true", help="print earlier results alone")
    options = arguments.parse_args()
    if not options.show:
        _write_iris()
        RESULTS.unlink(missing_ok=True)
        measure(options.workloads.split(","), options.peers.split(";"), options.rounds)
    print(table([json.loads(line) for line in RESULTS.read_text().splitlines()]))


if __name__ == "__main__":
    main()
