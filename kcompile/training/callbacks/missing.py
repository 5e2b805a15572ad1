"""Callbacks that Keras has and that are not there yet."""

from __future__ import annotations

from typing import Any

from kcompile.training.callbacks.base import Callback


class OrbaxCheckpoint(Callback):
    """Not there yet: it would save checkpoints in Orbax's format.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "OrbaxCheckpoint is not there yet: ModelCheckpoint saves weights, and BackupAndRestore"
            " saves what is needed to go on"
        )
