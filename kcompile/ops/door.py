"""The one door that opens upward.

Lower floors never import higher ones. Some services are needed below the floor they live on:
running a graph eagerly, taking over JAX functions, and what `Model`'s methods (`fit`,
`save_weights`, ...) do. They are looked up here, by name, when they are called.
"""

from __future__ import annotations

import importlib
from typing import Any

_SERVICES = {
    "run_graph": ("kcompile.runtimes.jax.eager", "run_graph"),
    "flatten_jax_tree": ("kcompile.runtimes.jax.trees", "flatten_tree"),
    "jax_placeholder": ("kcompile.runtimes.jax.trees", "placeholder"),
    "trace_jax_function": ("kcompile.runtimes.jax.jaxpr", "trace_function"),
    "trainer": ("kcompile.training.trainer", "Trainer"),
    "train_step": ("kcompile.runtimes.jax.own_steps", "train_step"),
    "test_step": ("kcompile.runtimes.jax.own_steps", "test_step"),
    "save_weights": ("kcompile.formats.weights", "save_weights"),
    "load_weights": ("kcompile.formats.weights", "load_weights"),
    "from_json": ("kcompile.formats.architecture", "from_json"),
    "to_json": ("kcompile.formats.architecture", "to_json"),
    "load_model": ("kcompile.formats.loading", "load_model"),
    "save_model": ("kcompile.formats.saving", "save_model"),
    "serialize_optimizer": ("kcompile.training.optimizers", "serialize"),
    "optimizer_layout": ("kcompile.training.optimizer_state", "layout"),
    "optimizer_arrays": ("kcompile.training.optimizer_state", "arrays"),
    "restore_optimizer": ("kcompile.training.optimizer_state", "restore"),
    "export": ("kcompile.compiler", "export"),
    "summary": ("kcompile.utils.summary", "print_summary"),
}


def service(name: str) -> Any:
    """The function or class that does `name`."""
    module, attribute = _SERVICES[name]
    return getattr(importlib.import_module(module), attribute)
