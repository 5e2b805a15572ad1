"""The onnxruntime runtime: sessions, and the verification of what was exported."""

from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable, TensorInfo
from kcompile.runtimes.onnxruntime.verification import (
    Comparison,
    VerificationReport,
    verify_model,
)

__all__ = [
    "Comparison",
    "OnnxRuntimeExecutable",
    "TensorInfo",
    "VerificationReport",
    "verify_model",
]
