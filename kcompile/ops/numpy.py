"""`keras.ops.numpy`: the functions of kcompile.ops under a second name."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import kcompile.ops as ops

    if name not in ops.__all__:
        raise AttributeError(f"module 'kcompile.ops.numpy' has no attribute '{name}'")
    return getattr(ops, name)
