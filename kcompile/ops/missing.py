"""Names of Keras that are not implemented: they can be imported, and refuse to be called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def missing(name: str, reason: str) -> Callable[..., NoReturn]:
    """A function that raises NotImplementedError with the reason; `is_missing` tells it."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{name}: {reason}")

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[-1]
    refuse.__doc__ = f"Not implemented: {reason}."
    refuse.is_missing = True  # type: ignore[attr-defined]
    return refuse


def is_missing(value: Any) -> bool:
    """Whether a public name is one that only refuses."""
    return getattr(value, "is_missing", False) is True
