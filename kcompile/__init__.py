"""kcompile: a graph compiler for neural networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile import (
        activations,
        applications,
        callbacks,
        datasets,
        dtype_policies,
        initializers,
        layers,
        losses,
        metrics,
        mixed_precision,
        models,
        ops,
        optimizers,
        quantization,
        random,
        utils,
    )
    from kcompile.compiler import as_function, compile
    from kcompile.dtype_policies import DTypePolicy
    from kcompile.executable import Executable, load_executable
    from kcompile.layers import Input, Layer
    from kcompile.models import Model, Sequential
    from kcompile.quantization.quantizing import quantize

__version__ = "0.1.0"

_MODULES = (
    "activations",
    "applications",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "quantization",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
    "wrappers",
)
_NAMES = {
    "Executable": "kcompile.executable",
    "as_function": "kcompile.compiler",
    "compile": "kcompile.compiler",
    "load_executable": "kcompile.executable",
    "quantize": "kcompile.quantization.quantizing",
    "Input": "kcompile.layers",
    "DTypePolicy": "kcompile.dtype_policies",
    "FloatDTypePolicy": "kcompile.dtype_policies",
    "Initializer": "kcompile.initializers",
    "InputSpec": "kcompile.layers",
    "KerasTensor": "kcompile.ops.tensor",
    "Layer": "kcompile.layers",
    "Loss": "kcompile.losses",
    "Metric": "kcompile.metrics",
    "Optimizer": "kcompile.optimizers",
    "Regularizer": "kcompile.regularizers",
    "Variable": "kcompile.ops",
    "Model": "kcompile.models",
    "Sequential": "kcompile.models",
}

__all__ = [
    "DTypePolicy",
    "Executable",
    "Input",
    "Layer",
    "Model",
    "Sequential",
    "activations",
    "applications",
    "as_function",
    "callbacks",
    "compile",
    "datasets",
    "dtype_policies",
    "initializers",
    "layers",
    "load_executable",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "quantization",
    "quantize",
    "random",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"kcompile.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'kcompile' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})
