"""Exports of small models, layer by layer and attribute by attribute: what `make bench-grid` runs.

    python benchmarks/onnx/grid.py [--routes NAME,...] [--cases TEXT] [--keep]

Run it with an interpreter that has kcompile, Keras and JAX; the other frameworks get environments
of their own. A route converts all models in one process, which is started anew after a crash.
Prints the tables that it writes to build/bench-onnx/grid/grid.md; grid.json has all that was said.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

# The frameworks are those of the processes.
from environments import BUILD, make
from grid_cases import CASES, TOLERANCES
from grid_report import write
from grid_worker import Worker

HERE = Path(__file__).resolve().parent
FOLDER = BUILD / "grid"
#: Route -> environment, and Keras's backend.
ROUTES = {
    "kcompile": None,
    "keras-tensorflow": "tensorflow",
    "keras-jax": "jax",
    "keras-torch": "torch",
}
#: Of one model, in seconds.
TIME_LIMIT = 60


def worker(script: str, *arguments: str, environment: str | None = None, log: str) -> Worker:
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": environment or "jax"}
    python = sys.executable
    if environment is not None:
        variables.pop("PYTHONPATH", None)
        python = str(make(environment))
    command = [python, str(HERE / script), *arguments]
    return Worker(command, variables, FOLDER / "logs" / f"{log}.log")


def file_of(folder: str, name: str, suffix: str) -> Path:
    """Named by the case, but for characters that names of files may not have."""
    path = FOLDER / folder / (re.sub(r"[^\w=.-]+", "_", name) + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def make_models(names: list[str]) -> None:
    """Raises RuntimeError where Keras cannot compute a model: such cases are at fault."""
    errors = []
    for backend, environment in (("jax", None), ("tensorflow", "tensorflow")):
        maker = worker("grid_make.py", environment=environment, log=f"make-{backend}")
        for name in names:
            is_there = file_of("models", name, ".npz").is_file()
            if is_there or CASES[name].backend != backend:
                continue
            target = file_of("models", name, ".keras")
            answer = maker.ask({"name": name, "target": str(target)}, TIME_LIMIT)
            if "error" in answer:
                errors.append(f"{name}: {answer['error']}")
        maker.close()
    if errors:
        raise RuntimeError("\n".join(errors))


def convert(route: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """By name: nothing, or the error."""
    environment = ROUTES[route]
    kind = "kcompile" if environment is None else "keras"
    converter = worker("grid_convert.py", kind, environment=environment, log=route)
    answers = {}
    start = time.monotonic()
    for name in names:
        source, target = file_of("models", name, ".keras"), file_of(route, name, ".onnx")
        target.unlink(missing_ok=True)
        job = {"source": str(source), "target": str(target)}
        answers[name] = converter.ask(job, TIME_LIMIT)
    converter.close()
    print(f"{route}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return answers


def check(route: str, answers: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """By name: the outcome and what was said."""
    checker = worker("grid_check.py", log=f"check-{route}")
    results = {}
    for name, answer in answers.items():
        file = file_of(route, name, ".onnx")
        if "error" not in answer and not file.is_file():
            answer = {"error": "no file was written"}
        if "error" in answer:
            results[name] = {"outcome": "error", "detail": answer["error"]}
            continue
        tolerance = TOLERANCES[CASES[name].precision]
        samples = str(file_of("models", name, ".npz"))
        job = {"file": str(file), "samples": samples, "tolerance": tolerance}
        result = checker.ask(job, TIME_LIMIT)
        crashed = {"outcome": "refused", "detail": result.get("error", "")}
        results[name] = crashed if "error" in result else result
    checker.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", default=",".join(ROUTES))
    parser.add_argument("--cases", default="", help="only those with this in their names")
    parser.add_argument("--keep", action="store_true", help="the models that were made before")
    options = parser.parse_args()
    routes = options.routes.split(",")
    if unknown := [name for name in routes if name not in ROUTES]:
        parser.error(f"unknown route {', '.join(unknown)}; there are {', '.join(ROUTES)}")
    names = [name for name in CASES if options.cases in name]
    if not names:
        parser.error(f"no case has {options.cases!r} in its name")
    if not options.keep:
        shutil.rmtree(FOLDER, ignore_errors=True)
    make_models(names)
    results = {route: check(route, convert(route, names)) for route in routes}
    found = {name: {route: results[route][name] for route in routes} for name in names}
    print(write(found, FOLDER))


if __name__ == "__main__":
    main()
