"""`kcompile doctor`: what a bug report needs, and whether an installation works."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kcompile import __version__
from kcompile.cli.running import EXIT_ERROR, print_json, show
from kcompile.utils.folders import cache_dir, make_private
from kcompile.utils.units import format_bytes

REQUIRED = ("numpy", "ml_dtypes", "jax", "jaxlib", "optax", "onnx", "onnxruntime", "h5py", "rich")
#: What a package is for that one may do without.
OPTIONAL = {
    "pillow": "image files",
    "matplotlib": "history.plot",
    "pydot": "plot_model",
    "scikit-learn": "kcompile.wrappers",
    "tensorboardX": "callbacks.TensorBoard",
}
#: How far onnxruntime and XLA may be apart on the little model below.
TOLERANCE = 1e-5


def examine(as_json: bool) -> int:
    """Look at the installation, and print what was found.

    Returns:
        The exit code: 0, or 1 if something that kcompile needs does not work.
    """
    facts = _facts()
    checks = {name: _tried(check) for name, check in CHECKS.items()}
    failed = [name for name, (passed, _) in checks.items() if not passed]
    if as_json:
        told = {name: {"passed": ok, "found": text} for name, (ok, text) in checks.items()}
        print_json({**facts, "checks": told, "passed": not failed})
    else:
        _show(facts, checks)
    return EXIT_ERROR if failed else 0


def _show(facts: dict[str, Any], checks: dict[str, tuple[bool, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items())
        table.add_row(name, str(value))
    for name, (passed, text) in checks.items():
        table.add_row(name, text if passed else f"FAILED: {text}")
    show(table)


def _facts() -> dict[str, Any]:
    return {
        "kcompile": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "packages": {name: _version(name) for name in REQUIRED},
        "optional": {
            name: _version(name) if _version(name) != "missing" else f"missing (for {use})"
            for name, use in OPTIONAL.items()
        },
        "settings": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("KCOMPILE_", "JAX_", "XLA_", "OMP_"))
        },
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _tried(check: Callable[[], str]) -> tuple[bool, str]:
    """Whether a check passes, and what it found: whatever is wrong is what is looked for."""
    try:
        return True, check()
    except Exception as error:
        return False, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _check_cache() -> str:
    folder = cache_dir()
    make_private(folder)
    free = shutil.disk_usage(folder).free
    return f"{folder}, {format_bytes(free)} free"


def _check_devices() -> str:
    from kcompile.runtimes.jax.machine import stamp

    found = stamp()
    return f"{found['backend']}: {found['device']}"


def _check_providers() -> str:
    from kcompile.runtimes.onnxruntime.session import providers

    return ", ".join(providers())


def _check_training() -> str:
    model, x = _small_model()
    model.compile("sgd", "mse")
    losses = model.fit(x, x[:, :2], epochs=2, verbose=0, shuffle=False).history["loss"]
    return f"two epochs of a small model: loss {losses[0]:.4f}, then {losses[1]:.4f}"


def _check_export() -> str:
    import kcompile

    model, x = _small_model()
    expected = model.predict(x, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        executable = kcompile.compile(model, "onnx", Path(folder, "small.onnx"))
        received = next(iter(executable.run({model.input_names[0]: x}).values()))
    difference = float(np.abs(received - expected).max())
    if not difference <= TOLERANCE:
        raise ArithmeticError(f"onnxruntime and XLA differ by {difference}")
    return f"a small model in onnxruntime and on XLA: {difference:.1e} apart"


def _small_model() -> tuple[Any, np.ndarray[Any, Any]]:
    from kcompile import initializers, layers
    from kcompile.models import Sequential

    start = initializers.GlorotUniform(seed=0)
    model = Sequential(
        [
            layers.Input((4,), name="x"),
            layers.Dense(8, activation="relu", kernel_initializer=start, name="hidden"),
            layers.Dense(2, kernel_initializer=start, name="y"),
        ],
        name="small",
    )
    return model, np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)


CHECKS: dict[str, Callable[[], str]] = {
    "cache folder": _check_cache,
    "JAX device": _check_devices,
    "onnxruntime": _check_providers,
    "training": _check_training,
    "export": _check_export,
}
