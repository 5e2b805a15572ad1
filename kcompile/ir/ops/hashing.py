"""Hashes of strings and integers to a fixed number of buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.fingerprint import concatenated, fingerprint, siphash
from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import DType, TensorType, require_same_size

#: What TensorFlow starts a crossed hash with.
_CROSS_SEED = 0xDECAFCAFFE
_MAX_BUCKETS = 2**31 - 1


class _Hash(Op):
    """Strings and 64-bit words: the host's work."""

    num_buckets: int

    @property
    def on_host(self) -> bool:
        return True

    def _check(self, x: TensorType) -> TensorType:
        require(x.dtype is DType.STRING or x.dtype.is_integer, "hashes strings and integers")
        require(0 < self.num_buckets <= _MAX_BUCKETS, f"needs 1 to {_MAX_BUCKETS} buckets")
        return x.with_dtype(DType.INT32)


@dataclass(frozen=True)
class HashBucket(_Hash):
    """`y = hash(x) mod num_buckets`, x as UTF-8; an integer as its decimal digits.

    The hash is FarmHash's Fingerprint64; with a key of two words SipHash-2-4.
    """

    num_buckets: int
    key: tuple[int, int] | None = None

    def infer(self, x: TensorType) -> TensorType:
        return self._check(x)

    def reference(self, x: Array) -> Array:
        data = [str(entry).encode() for entry in x.ravel().tolist()]
        if self.key is None:
            hashes = [fingerprint(entry) for entry in data]
        else:
            hashes = [siphash(entry, self.key) for entry in data]
        return _buckets(hashes, self.num_buckets).reshape(x.shape)


@dataclass(frozen=True)
class CrossHash(_Hash):
    """`y = hash(x_0, x_1, ...) mod num_buckets`: the fingerprints of all, concatenated.

    An integer is its own fingerprint. All x have one shape.
    """

    num_buckets: int

    def infer(self, *xs: TensorType) -> TensorType:
        require(len(xs) >= 2, "crosses at least two")
        for x in xs[1:]:
            require(x.rank == xs[0].rank, "all must have one shape")
            for left, right in zip(xs[0].shape, x.shape, strict=True):
                require_same_size(left, right, "all must have one shape")
        return [self._check(x) for x in xs][0]

    def reference(self, *xs: Array) -> Array:
        hashes = [_CROSS_SEED] * xs[0].size
        for x in xs:
            hashes = [
                concatenated(before, _word(entry))
                for before, entry in zip(hashes, x.ravel().tolist(), strict=True)
            ]
        return _buckets(hashes, self.num_buckets).reshape(xs[0].shape)


def _word(entry: Any) -> int:
    return fingerprint(entry.encode()) if isinstance(entry, str) else int(entry) % 2**64


def _buckets(hashes: list[int], num_buckets: int) -> Array:
    return np.array([value % num_buckets for value in hashes], np.int32)
