"""Array values that attributes can hold: immutable, comparable and hashable."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

import numpy as np

from kcompile.ir.types import DType, TensorType

_SAMPLE = 64  # elements looked at for the hash; equality looks at all of them


class Literal:
    """A read-only array, equal by its bytes: NaN equals itself and -0.0 is not 0.0."""

    __slots__ = ("__dict__", "array", "type")

    def __init__(self, array: Any) -> None:
        values = np.asarray(array)
        if values.dtype.kind in "US":
            values = values.astype(object)
        values = values.astype(DType.of(values.dtype).numpy, copy=False).view()
        values.flags.writeable = False
        self.array: np.ndarray[Any, Any] = values
        self.type = TensorType.of(values)

    @cached_property
    def _bytes(self) -> bytes:
        if self.type.dtype is DType.STRING:
            return json.dumps(self.array.ravel().tolist()).encode()
        return np.ascontiguousarray(self.array).tobytes()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the type and the bytes, in hexadecimal."""
        return hashlib.sha256(str(self.type).encode() + b"\0" + self._bytes).hexdigest()

    @cached_property
    def _hash(self) -> int:
        flat = self.array.reshape(-1)
        step = max(1, flat.size // _SAMPLE)
        return hash((str(self.type), Literal._sample_bytes(flat[::step][:_SAMPLE])))

    @staticmethod
    def _sample_bytes(values: np.ndarray[Any, Any]) -> bytes:
        return str(values.tolist()).encode() if values.dtype == object else values.tobytes()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Literal) or self.type != other.type or self._hash != other._hash:
            return False
        if self.array is other.array:
            return True
        return self._bytes == other._bytes

    def __repr__(self) -> str:
        return f"Literal({self.type})"
