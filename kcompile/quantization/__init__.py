"""Quantization: small integers instead of floats, and what that costs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.quantization.quantizing import quantize
    from kcompile.quantization.training import QuantizationAware, prepare

_NAMES = {"QuantizationAware": "training", "prepare": "training", "quantize": "quantizing"}

__all__ = ["QuantizationAware", "prepare", "quantize"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        module = importlib.import_module(f"kcompile.quantization.{_NAMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'kcompile.quantization' has no attribute {name!r}")
