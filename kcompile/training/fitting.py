"""The loop over epochs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kcompile.ir.errors import NonFiniteLossError
from kcompile.training.callbacks import CallbackList
from kcompile.training.interrupts import deferred_interrupt
from kcompile.training.loops import Logs


@dataclass
class Fit:
    """One call of `fit`.

    Attributes:
        model: is trained.
        training: runs epochs.
        evaluation: validates; None if nothing does.
        callbacks: are called.
        epochs: numbers of the first epoch and the one after the last.
        validates: says after which epochs.
    """

    model: Any
    training: Any
    evaluation: Any
    callbacks: CallbackList
    epochs: tuple[int, int]
    validates: Callable[[int], bool]

    def run(self) -> None:
        """Train."""
        self.model.stop_training = False
        logs: Logs = {}
        with deferred_interrupt() as interrupt:
            self.callbacks.on_train_begin()
            first, end = self.epochs
            resumed = self.training.passes.first_epoch
            for epoch in range(first if resumed is None else resumed, end):
                if not self.training.passes.has_data():
                    warnings.warn(
                        f"the data ran out: training ends after {epoch} of {end} epochs",
                        stacklevel=4,
                    )
                    break
                self.callbacks.on_epoch_begin(epoch)
                logs = self._train(epoch, interrupt)
                if interrupt.requested:
                    break
                if self.evaluation is not None and self.validates(epoch):
                    logs |= self._validate(epoch)
                self.callbacks.on_epoch_end(epoch, logs)
                if self.model.stop_training or interrupt.requested:
                    break
            self.training.passes.is_interrupted = interrupt.requested
            self.training.weights.present().update(self.model.optimizer.final_weights())
            self.callbacks.on_train_end(logs)

    def _train(self, epoch: int, interrupt: Any) -> Logs:
        def should_stop() -> bool:
            return bool(self.model.stop_training or interrupt.requested)

        try:
            return dict(self.training.run_epoch(epoch, self.callbacks, should_stop))
        except NonFiniteLossError as error:
            return self._handled(error)

    def _validate(self, epoch: int) -> Logs:
        weights = self.training.weights
        try:
            logs, states = self.evaluation.run(weights.present, self.callbacks, epoch)
        except NonFiniteLossError as error:
            logs, states = self._handled(error), {}
        weights.arrays.update((n, a) for n, a in states.items() if n in weights.arrays)
        return {f"val_{name}": value for name, value in logs.items()}

    def _handled(self, error: NonFiniteLossError) -> Logs:
        """Logs of NaN, if a callback handles the error; else it is raised."""
        handlers = [c for c in self.callbacks.callbacks if hasattr(c, "on_non_finite")]
        if not handlers:
            raise error
        for handler in handlers:
            handler.on_non_finite(error)
        return dict.fromkeys(["loss", *self.model.metrics_names], math.nan)


def validation_epochs(frequency: int | Sequence[int]) -> Callable[[int], bool]:
    """Whether to validate after an epoch: after every so many, or those listed."""
    if isinstance(frequency, int):
        return lambda epoch: (epoch + 1) % frequency == 0
    wanted = set(frequency)
    return lambda epoch: epoch + 1 in wanted
