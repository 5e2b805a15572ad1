"""Callbacks made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile.training.callbacks.base import Callback


class LambdaCallback(Callback):
    """Calls functions at the hooks of the same names.

    Args:
        on_epoch_begin, on_epoch_end: called with `epoch` and `logs`.
        on_train_begin, on_train_end: called with `logs`.
        on_train_batch_begin, on_train_batch_end: called with `batch` and `logs`.
        **kwargs: functions for other hooks, or attributes to keep.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
