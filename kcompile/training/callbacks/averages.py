"""A callback that lets the moving averages of the weights stand in for the weights."""

from __future__ import annotations

from typing import Any

from kcompile.ir.errors import TrainingError
from kcompile.training.callbacks.base import Callback, Logs


class SwapEMAWeights(Callback):
    """Evaluates and predicts with the moving averages of the weights (Polyak and Juditsky, 1992).

    For optimizers with `use_ema=True`.

    Args:
        swap_on_epoch: whether the averages are there from the end of an epoch to the start of the
            next as well, for the callbacks after this one: a ModelCheckpoint saves them then.

    Raises:
        TrainingError: on swapping, if the optimizer keeps no averages.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        #: The weights themselves by name, while their averages stand in for them.
        self._kept: dict[str, Any] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._kept = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._swap_back()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.swap_on_epoch:
            self._swap()

    def on_train_end(self, logs: Logs = None) -> None:
        self._kept = None  # `fit` ends with the averages as weights

    def on_test_begin(self, logs: Logs = None) -> None:
        self._swap()

    def on_test_end(self, logs: Logs = None) -> None:
        self._swap_back()

    def on_predict_begin(self, logs: Logs = None) -> None:
        self._swap()

    def on_predict_end(self, logs: Logs = None) -> None:
        self._swap_back()

    def _swap(self) -> None:
        if self._kept is not None:
            return
        averages = self.model.optimizer.averages
        if averages is None:
            raise TrainingError(
                "the optimizer has no moving averages of the weights",
                where="SwapEMAWeights",
                hint="Give it use_ema=True, and train before evaluating",
            )
        weights = self.model.named_weights()
        self._kept = {name: weights[name].array for name in averages}
        self._assign(averages)

    def _swap_back(self) -> None:
        if self._kept is not None:
            self._assign(self._kept)
            self._kept = None

    def _assign(self, values: dict[str, Any]) -> None:
        weights = self.model.named_weights()
        for name, value in values.items():
            weights[name].assign(value)
