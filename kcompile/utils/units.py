"""Numbers with their units."""

from __future__ import annotations


def format_bytes(number: float) -> str:
    """A number of bytes, in units of 1024: `4.82 KB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1024:
            return f"{number:.2f} {unit}"
        number /= 1024
    return f"{number:.2f} TB"
