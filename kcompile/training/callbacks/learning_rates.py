"""Callbacks that change the learning rate."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.training.callbacks.base import Callback, Logs
from kcompile.training.callbacks.logs import LogDict
from kcompile.training.callbacks.monitor import MonitorCallback


def current_rate(model: Any) -> float:
    """The learning rate of the next update, rounded to float32 as steps use it.

    Raises:
        SpecError: the optimizer does not tell it.
    """
    progress = model.trainer.progress
    rate = model.optimizer.learning_rate_at(progress.num_updates - progress.first_update)
    if math.isnan(rate):
        raise SpecError(
            f"optimizer '{model.optimizer.name}' does not tell its learning rate",
            hint="Use an optimizer of kcompile.optimizers",
        )
    return float(np.float32(rate))


def log_rate(model: Any, logs: Logs) -> None:
    """Let callbacks that are called later find `learning_rate` in the logs."""
    if isinstance(logs, dict):
        logs["learning_rate"] = current_rate(model)


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch.

    Args:
        schedule: takes the number of the epoch, counted from 0, and the present learning rate (or
            the epoch alone) and returns the new one, a float.
        verbose: 1 prints it.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        rate = self._scheduled(epoch)
        if not isinstance(rate, float | np.floating):
            raise SpecError(
                f"the schedule must return a float, got {rate!r}", where="LearningRateScheduler"
            )
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler sets the learning rate to {rate}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        log_rate(self.model, logs)

    def _scheduled(self, epoch: int) -> Any:
        rate = current_rate(self.model)
        try:
            inspect.signature(self.schedule).bind(epoch, rate)
        except TypeError:
            return self.schedule(epoch)
        return self.schedule(epoch, rate)


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a number has not improved for some epochs.

    Args:
        monitor: its name in the logs.
        factor: the new learning rate is the old one times this.
        patience: epochs without improvement after which it is lowered.
        verbose: 1 prints when it is.
        mode: 'min', 'max', or 'auto', which knows losses and metrics.
        min_delta: a smaller change is no improvement.
        cooldown: epochs after lowering it in which none counts as without improvement.
        min_lr: the learning rate does not fall below it.

    Raises:
        SpecError: there is no such mode, or `factor` is not below 1.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if factor >= 1:
            raise SpecError(f"factor must be below 1, got {factor}", where="ReduceLROnPlateau")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        log_rate(self.model, logs)
        value = LogDict(logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"ReduceLROnPlateau looks at '{self.monitor}', which is not among the logs:"
                f" {', '.join(logs or {})}",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def in_cooldown(self) -> bool:
        """Whether epochs do not count at present."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch: int) -> None:
        old = current_rate(self.model)
        if old <= np.float32(self.min_lr):
            return
        new = max(old * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = new
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau lowers the learning rate to {new}")
