"""Seeding everything at once, and starting names afresh."""

from __future__ import annotations

import random

import numpy as np

from kcompile.ops import naming, seeds


def set_random_seed(seed: int) -> None:
    """Seed Python's `random`, NumPy's global generator and kcompile's own seeds."""
    random.seed(seed)
    np.random.seed(seed)
    seeds.set_global_seed(seed)


def clear_session() -> None:
    """Start the numbering of automatic names again: the next dense layer is `dense`."""
    naming.reset()
