"""Whether compiled programs are kept between processes, and where. It knows no runtime."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kcompile.ir.errors import SpecError

#: 0 turns the cache off; 1 is the default.
VARIABLE = "KCOMPILE_COMPILE_CACHE"
DEFAULT_MAX_BYTES = 2**30


@dataclass(frozen=True)
class CacheSettings:
    """How compiled programs are kept.

    Attributes:
        is_enabled: whether they are.
        max_bytes: of all of them; those that were not used for longest make place.
    """

    is_enabled: bool
    max_bytes: int = DEFAULT_MAX_BYTES


_chosen: CacheSettings | None = None


def choose(settings: CacheSettings | None) -> None:
    """Let these settings hold in this process; None leaves it to the environment again."""
    global _chosen
    _chosen = settings


def current() -> CacheSettings:
    """The settings that hold.

    Raises:
        SpecError: the environment variable is neither 0 nor 1.
    """
    if _chosen is not None:
        return _chosen
    value = os.environ.get(VARIABLE, "1")
    if value not in ("0", "1"):
        raise SpecError(f"is 0 or 1, not {value!r}", where=f"environment variable {VARIABLE}")
    return CacheSettings(value == "1")
