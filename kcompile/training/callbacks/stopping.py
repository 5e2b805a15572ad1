"""Callbacks that end training early."""

from __future__ import annotations

import warnings
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.training.callbacks.base import Callback, Logs
from kcompile.training.callbacks.logs import LogDict

_HIGHER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "iou", "r2", "similarity")


class EarlyStopping(Callback):
    """Stops when a number has not improved for some epochs.

    Args:
        monitor: its name in the logs.
        min_delta: a smaller change is no improvement.
        patience: epochs without improvement after which training stops.
        verbose: 1 prints when it stops.
        mode: 'min', 'max', or 'auto', which goes by the name.
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
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise SpecError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
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
        if self._is_better(value, self.best):
            self.best = value
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._keep(epoch)
            if self.baseline is None or self._is_better(value, self.baseline):
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

    def _is_better(self, value: float, reference: float | None) -> bool:
        if reference is None:
            return True
        sign = 1 if self._is_maximized() else -1
        return sign * (value - reference) > self.min_delta

    def _is_maximized(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.lower()
        return "loss" not in name and any(part in name for part in _HIGHER_IS_BETTER)


class TerminateOnNaN(Callback):
    """Ends training quietly when the loss is not finite; without it that is an error.

    The weights stay those of the last step with a finite loss.
    """

    def on_non_finite(self, epoch: int, step: int) -> None:
        """Called by `fit` in the place of the error."""
        print(f"Epoch {epoch + 1}, step {step + 1}: the loss is not finite, training ends")
        self.model.stop_training = True
