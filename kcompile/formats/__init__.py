"""Files to models and back. Nothing that a file names is imported, called or opened."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.formats.architecture import from_json, load_architecture, to_json
    from kcompile.formats.loading import load_model, make_model, read_spec
    from kcompile.formats.saving import save_model
    from kcompile.formats.weights import load_weights, save_weights

_NAMES = {
    "from_json": "kcompile.formats.architecture",
    "load_architecture": "kcompile.formats.architecture",
    "load_model": "kcompile.formats.loading",
    "load_weights": "kcompile.formats.weights",
    "make_model": "kcompile.formats.loading",
    "read_spec": "kcompile.formats.loading",
    "save_model": "kcompile.formats.saving",
    "save_weights": "kcompile.formats.weights",
    "to_json": "kcompile.formats.architecture",
}

__all__ = [
    "from_json",
    "load_architecture",
    "load_model",
    "load_weights",
    "make_model",
    "read_spec",
    "save_model",
    "save_weights",
    "to_json",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'kcompile.formats' has no attribute {name!r}")
