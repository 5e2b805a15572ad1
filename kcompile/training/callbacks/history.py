"""What `fit` returns."""

from __future__ import annotations

from typing import Any

from kcompile.training.callbacks.base import Callback, Logs
from kcompile.training.callbacks.logs import LogDict


class History(Callback):
    """Keeps the logs of every epoch.

    Attributes:
        history: a list of numbers for each name; the old names `acc` and `val_acc` work too.
        epoch: numbers of the epochs, counted from 0.
        params: `epochs`, `steps` and `verbose` of the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history = LogDict()
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch = []
        self.history = LogDict()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        model.history = self
