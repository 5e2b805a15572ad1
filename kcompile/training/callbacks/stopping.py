"""Callbacks that end training early."""

from __future__ import annotations

import warnings
from typing import Any

from kcompile.ir.errors import NonFiniteLossError
from kcompile.training.callbacks.base import Callback, Logs
from kcompile.training.callbacks.logs import LogDict
from kcompile.training.callbacks.monitor import MonitorCallback


class EarlyStopping(MonitorCallback):
    """Stops when a number has not improved for some epochs.

    Args:
        monitor: its name in the logs.
        min_delta: a smaller change is no improvement.
        patience: epochs without improvement after which training stops.
        verbose: 1 prints when it stops.
        mode: 'min', 'max', or 'auto', which knows losses and the metrics of `kcompile.metrics`.
        baseline: a number to be better than.
        restore_best_weights: whether to set the weights of the best epoch at the end.
        start_from_epoch: epochs before this one do not count.

    Raises:
        SpecError: there is no such mode.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = LogDict(logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"EarlyStopping looks at '{self.monitor}', which is not among the logs:"
                f" {', '.join(logs or {})}",
                stacklevel=2,
            )
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.is_improvement(value, self.best):
            self.best = value
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._keep(epoch)
            if self.baseline is None or self.is_improvement(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)

    def _keep(self, epoch: int) -> None:
        self.best_weights = self.model.get_weights()
        self.best_epoch = epoch


class TerminateOnNaN(Callback):
    """Ends training quietly when a loss or weight is not finite; without it that is an error.

    The weights stay those of the last finite step.

    Args:
        raise_error: whether it is an error all the same.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_non_finite(self, error: NonFiniteLossError) -> None:
        """Called by `fit` in the place of the error."""
        if self.raise_error:
            raise error
        print(f"Training ends: {error}")
        self.model.stop_training = True
