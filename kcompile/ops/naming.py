"""Automatic names: `dense`, `dense_1`, ..., by the class's name."""

from __future__ import annotations

import re

_counts: dict[str, int] = {}


def snake_case(name: str) -> str:
    """`MaxPooling2D` as `max_pooling2d`."""
    spaced = re.sub(r"\W+", "", name)
    spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", spaced)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def automatic_name(class_name: str) -> str:
    """The next unused name for an object of that class."""
    base = snake_case(class_name)
    _counts[base] = _counts.get(base, -1) + 1
    return f"{base}_{_counts[base]}" if _counts[base] else base


def reset() -> None:
    """Start the numbering again, as `kcompile.utils.clear_session` does."""
    _counts.clear()
