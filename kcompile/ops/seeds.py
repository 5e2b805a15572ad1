"""Where random numbers come from: the global seed, and streams keyed by a seed and names."""

from __future__ import annotations

import hashlib
import json
import operator
import threading

import numpy as np

# Every seed drawn here fits in an int32, the narrowest integer a runtime's generator takes.
_SEED_LIMIT = 2**31

_lock = threading.Lock()
_source = np.random.default_rng()


def set_global_seed(seed: int) -> None:
    """Make the seeds that `next_seed` gives from here on a function of `seed`."""
    global _source
    with _lock:
        _source = np.random.default_rng(seed)


def next_seed() -> int:
    """The next global seed, in [0, 2**31); from the system's entropy until one was set."""
    with _lock:
        return int(_source.integers(_SEED_LIMIT))


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """A generator keyed by `seed` and the names in `path`.

    The same key gives the same numbers in every process; different keys give independent ones.
    """
    key = [operator.index(seed)]
    names = [name if isinstance(name, str) else operator.index(name) for name in path]
    digest = hashlib.sha256(json.dumps([key, names]).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(np.frombuffer(digest, "<u4").tolist()))
