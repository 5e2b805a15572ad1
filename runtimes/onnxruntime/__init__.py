"""The onnxruntime runtime: sessions, and the verification of what was exported."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable, TensorInfo
    from kcompile.runtimes.onnxruntime.verification import (
        Comparison,
        VerificationReport,
        verify_model,
    )

_NAMES = {
    "Comparison": "kcompile.runtimes.onnxruntime.verification",
    "OnnxRuntimeExecutable": "kcompile.runtimes.onnxruntime.session",
    "TensorInfo": "kcompile.runtimes.onnxruntime.session",
    "VerificationReport": "kcompile.runtimes.onnxruntime.verification",
    "verify_model": "kcompile.runtimes.onnxruntime.verification",
}

__all__ = [
    "Comparison",
    "OnnxRuntimeExecutable",
    "TensorInfo",
    "VerificationReport",
    "verify_model",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'kcompile.runtimes.onnxruntime' has no attribute {name!r}")
