"""Every route from a Keras file to onnxruntime, on every model: what `make bench-onnx` runs.

    python benchmarks/onnx/compare.py [--models NAME,...] [--routes NAME,...] [--quick]
        [--repeats 3] [--threads 1]

Run it with an interpreter that has kcompile, Keras and JAX; the other frameworks get environments
of their own. The routes take turns, each a process of its own. Prints one table; everything that
was measured is in build/bench-onnx/results.json, the table in results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The standard library only: a process starts with the peak memory of the one that starts it.
from environments import BUILD, make
from report import write

HERE = Path(__file__).resolve().parent
MODELS = (
    *("mnist_mlp", "mnist_cnn", "resnet50", "mobilenet_v2", "efficientnet_b0", "bilstm"),
    *("transformer", "gru_stack", "unet", "convnext", "inception", "seq2seq"),
)
BATCHES = (1, 32)
#: No route takes longer, in seconds, where it ends at all.
TIME_LIMIT = 600


@dataclass(frozen=True)
class Route:
    """A script of this folder, the environment it runs in, and Keras's backend there."""

    environment: str
    script: str
    backend: str


#: kcompile's own is the command line as users type it.
ROUTES = {
    "kcompile": None,
    "keras-tensorflow": Route("tensorflow", "route_keras.py", "tensorflow"),
    "tf2onnx": Route("tensorflow", "route_tf2onnx.py", "tensorflow"),
    "keras-jax": Route("jax", "route_keras.py", "jax"),
    "keras-torch": Route("torch", "route_keras.py", "torch"),
    "torch": Route("torch", "route_torch.py", "torch"),
}


def command_of(name: str, source: Path, target: Path) -> tuple[list[str], dict[str, str]]:
    """The command of a route, and its environment variables."""
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is kept where a package is installed
    route = ROUTES[name]
    if route is None:
        command = [sys.executable, "-m", "kcompile", "compile", str(source), "-o", str(target)]
        return command, variables
    variables.pop("PYTHONPATH", None)
    python = make(route.environment)
    command = [str(python), str(HERE / route.script), str(source), str(target)]
    return command, {**variables, "KERAS_BACKEND": route.backend}


def convert(name: str, source: Path, target: Path) -> dict[str, Any]:
    """Seconds and peak memory of the whole process, or the last lines of its error."""
    command, variables = command_of(name, source, target)
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    log = target.with_suffix(".log")
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not target.is_file():
        return {"error": log.read_text(errors="replace").strip()[-1500:]}
    return {"seconds": seconds, "megabytes": usage.ru_maxrss / 1024}


def convert_all(models: list[str], routes: list[str], repeats: int) -> dict[str, Any]:
    """[model][route]: medians over the repeats, which come in turn; a failure is not repeated."""
    found: dict[str, Any] = {model: {route: {"runs": []} for route in routes} for model in models}
    for repeat in range(repeats):
        for model in models:
            for route in routes[:: -1 if repeat % 2 else 1]:
                row = found[model][route]
                if "error" in row:
                    continue
                target = BUILD / "files" / model / route / "model.onnx"
                result = convert(route, BUILD / "models" / f"{model}.keras", target)
                if "error" in result:
                    row["error"] = result["error"]
                    continue
                row["runs"].append(result)
                row["file"] = str(target)
                for key in ("seconds", "megabytes"):
                    row[key] = statistics.median(run[key] for run in row["runs"])
                print(f"{model} {route}: {result['seconds']:.2f} s", file=sys.stderr, flush=True)
    return found


def python_output(*arguments: str | Path) -> str:
    """What a script of this folder prints. Raises CalledProcessError with its exit code."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def check(row: dict[str, Any], samples: Path) -> None:
    """Adds to the row what is in its file and whether it works; repairs it where that is known."""
    file = Path(row["file"])
    row |= json.loads(python_output(HERE / "check.py", file, samples))
    if "error" not in row:
        return
    repaired = file.with_name("repaired.onnx")
    python_output(HERE / "repair.py", file, repaired)
    if not repaired.is_file():
        return
    again = json.loads(python_output(HERE / "check.py", repaired, samples))
    if "error" not in again:
        row |= {"is_repaired": True, "file": str(repaired)}
        row |= {key: again[key] for key in ("batches", "difference")}


def add_latencies(rows: dict[str, Any], samples: Path, options: argparse.Namespace) -> None:
    """Adds milliseconds, per session, of the files that work; the first is measured twice."""
    sessions, seconds = (2, 0.2) if options.quick else (5, 0.6)
    for batch in BATCHES:
        running = [row for row in rows.values() if batch in row.get("batches", ())]
        if not running:
            continue
        files = [running[0]["file"], *(row["file"] for row in running)]
        limits = {"batch": batch, "threads": options.threads}
        limits |= {"sessions": sessions, "seconds": seconds}
        flags = [part for name, value in limits.items() for part in (f"--{name}", str(value))]
        text = python_output(HERE / "latency.py", samples, *files, *flags)
        control, *columns = zip(*json.loads(text), strict=True)
        running[0][f"control_{batch}"] = control
        for row, column in zip(running, columns, strict=True):
            row[f"latency_{batch}"] = column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--routes", default=",".join(ROUTES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of one operator in onnxruntime")
    parser.add_argument("--quick", action="store_true", help="one repeat, short latency runs")
    options = parser.parse_args()
    models, routes = options.models.split(","), options.routes.split(",")
    for kind, names, known in (("model", models, MODELS), ("route", routes, ROUTES)):
        if unknown := [name for name in names if name not in known]:
            parser.error(f"unknown {kind} {', '.join(unknown)}; there are {', '.join(known)}")
    print(python_output(HERE / "models.py", *models), end="", file=sys.stderr)
    found = convert_all(models, routes, 1 if options.quick else options.repeats)
    for model, rows in found.items():
        samples = BUILD / "models" / f"{model}.npz"
        for row in rows.values():
            if "file" in row:
                check(row, samples)
        add_latencies(rows, samples, options)
    print(write(found, BUILD))


if __name__ == "__main__":
    main()
