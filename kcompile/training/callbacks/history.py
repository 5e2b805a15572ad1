"""What `fit` returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
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
        #: The epochs of each name: validation may be rarer than training.
        self._epochs: dict[str, list[int]] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch = []
        self.history = LogDict()
        self._epochs = {}

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._epochs.setdefault(name, []).append(epoch)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        model.history = self

    def plot(self) -> Any:
        """Curves over the epochs, one picture for each log, training and validation in it.

        Returns:
            A `matplotlib.figure.Figure`: `history.plot().savefig("curves.png")`. Notebooks show it.

        Raises:
            DataError: matplotlib is not installed, or there is no log that is a number.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise DataError(
                "pictures of curves need matplotlib", hint="pip install matplotlib"
            ) from error
        numbers = {n: v for n, v in self.history.items() if all(map(np.isscalar, v))}
        names = list(dict.fromkeys(name.removeprefix("val_") for name in numbers))
        if not names:
            raise DataError("there is nothing to plot", hint="Train for an epoch first")
        figure = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                if key in numbers:
                    epochs = [epoch + 1 for epoch in self._epochs[key]]
                    axes.plot(
                        epochs, numbers[key], label=label, marker="." if len(epochs) < 2 else ""
                    )
            axes.set(xlabel="epoch", ylabel=name)
            axes.legend()
        return figure
