"""Hashes, which ONNX has none of: it cannot look into a string."""

from __future__ import annotations

from kcompile.ir.ops import CrossHash, HashBucket
from kcompile.runtimes.onnx.table import refuses

_REASON = (
    "ONNX has no hash, and no op that reads the bytes of a string; compute the buckets before the"
    " model, or use StringLookup or IntegerLookup"
)

refuses(HashBucket, _REASON)
refuses(CrossHash, _REASON)
