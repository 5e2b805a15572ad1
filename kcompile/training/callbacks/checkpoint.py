"""Callbacks that save the model."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.training.callbacks.base import Logs, is_overridden
from kcompile.training.callbacks.logs import LogDict
from kcompile.training.callbacks.monitor import MonitorCallback

_SUFFIX = ".weights.h5"


class ModelCheckpoint(MonitorCallback):
    """Saves the model's weights as training goes on.

    Args:
        filepath: of the files. `{epoch}` in it, and `{batch}` where batches are counted, are
            numbers counted from 1; logs are there under their names: `{val_loss:.2f}`.
        monitor: name in the logs of the number that says which weights are the best.
        verbose: 1 prints what is saved.
        save_best_only: whether to save only when that number has improved. Where the logs lack it,
            there is a warning, and the weights are saved.
        save_weights_only: has to be True.
        mode: 'min', 'max', or 'auto', which knows losses and metrics.
        save_freq: 'epoch', or a number of batches.
        initial_value_threshold: a number to be better than.

    Raises:
        SpecError: there is no such mode or `save_freq`, or the file's name has the wrong ending.
        NotImplementedError: the whole model is to be saved.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        if not save_weights_only:
            raise NotImplementedError(
                "ModelCheckpoint saves weights only: pass save_weights_only=True and a file name"
                f" that ends with {_SUFFIX}"
            )
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith(_SUFFIX):
            raise SpecError(
                f"weights need a file name that ends with {_SUFFIX}, got {self.filepath!r}",
                where="ModelCheckpoint",
            )
        if save_freq != "epoch" and (not isinstance(save_freq, int) or save_freq < 1):
            raise SpecError(
                f"save_freq must be 'epoch' or a number of batches, got {save_freq!r}",
                where="ModelCheckpoint",
            )
        self.best = initial_value_threshold
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._epoch = 0
        self._num_batches = 0  # since the last save
        self._last_batch: int | None = None

    def looks_at_batches(self, kind: str) -> bool:
        if kind != "train":
            return super().looks_at_batches(kind)
        others = ("on_train_batch_begin", "on_batch_begin", "on_batch_end")
        has_own_hook = type(self).on_train_batch_end is not ModelCheckpoint.on_train_batch_end
        return (
            self.save_freq != "epoch"
            or has_own_hook
            or any(is_overridden(self, hook) for hook in others)
        )

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if isinstance(self.save_freq, int) and self._is_due(batch, self.save_freq):
            self._save({"batch": batch + 1, **(logs or {})}, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            self._epoch = epoch
            self._save(logs or {}, logs)

    def _is_due(self, batch: int, frequency: int) -> bool:
        is_new_epoch = self._last_batch is None or batch <= self._last_batch
        self._num_batches += batch + 1 if is_new_epoch else batch - (self._last_batch or 0)
        self._last_batch = batch
        if self._num_batches < frequency:
            return False
        self._num_batches = 0
        return True

    def _save(self, names: Any, logs: Logs) -> None:
        path = self._path(names)
        if self.save_best_only and not self._is_best(LogDict(logs or {})):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.model.save_weights(path, overwrite=True)
        self._tell(f"saved weights to {path}")

    def _path(self, names: Any) -> str:
        try:
            return self.filepath.format_map(LogDict({**names, "epoch": self._epoch + 1}))
        except KeyError as error:
            raise SpecError(
                f"the file name '{self.filepath}' has {error}, and there is only"
                f" {', '.join(['epoch', *names])}",
                where="ModelCheckpoint",
            ) from error

    def _is_best(self, logs: LogDict) -> bool:
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"ModelCheckpoint looks at '{self.monitor}', which is not among the logs:"
                f" {', '.join(logs)}; the weights are saved",
                stacklevel=2,
            )
            return True
        if not self.is_improvement(value, self.best):
            self._tell(f"{self.monitor} has not improved from {self.best:.5f}")
            return False
        self.best = value
        return True

    def _tell(self, what: str) -> None:
        if self.verbose:
            print(f"\nEpoch {self._epoch + 1}: {what}")
