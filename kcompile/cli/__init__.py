"""The command `kcompile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.cli.app import main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    if name == "main":
        from kcompile.cli.app import main

        return main
    raise AttributeError(f"module 'kcompile.cli' has no attribute {name!r}")
