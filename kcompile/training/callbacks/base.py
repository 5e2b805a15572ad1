"""Callbacks: objects that training, evaluation and prediction tell about their progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kcompile.training.callbacks.logs import LogDict

Logs = Mapping[str, Any] | None


class Callback:
    """Base of the callbacks. Override the hooks that matter.

    Overriding a hook for batches makes training run one batch at a time, so that logs are there
    for each.

    Attributes:
        params: `epochs`, `steps` and `verbose` of the run.
        model: the model that is trained.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before the run, with `epochs`, `steps` and `verbose`."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called before the run."""
        self._model = model

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called when `fit` starts."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Called when `fit` ends; logs are the last epoch's."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called when an epoch starts; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called when an epoch ends, after validation."""

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a training batch; `batch` counts from 0 in each epoch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a training batch; logs are means over the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called when `evaluate`, or a validation, starts."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Called when `evaluate`, or a validation, ends."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch of evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch of evaluation."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Called when `predict` starts."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """Called when `predict` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch of prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch of prediction; logs hold `outputs`."""

    def looks_at_batches(self, kind: str) -> bool:
        """Whether it has to be called for every batch of 'train', 'test' or 'predict'."""
        hooks = [f"on_{kind}_batch_begin", f"on_{kind}_batch_end"]
        if kind == "train":
            hooks += ["on_batch_begin", "on_batch_end"]
        return any(is_overridden(self, hook) for hook in hooks)


def is_overridden(callback: Callback, hook: str) -> bool:
    """Whether the callback has a hook of its own: in its class, or set on the object."""
    return hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook)


class CallbackList(Callback):
    """Several callbacks as one.

    Args:
        callbacks: in the order in which they are called.
        add_history, add_progbar: whether to add these two, where they are not among `callbacks`.
        model: the model that is trained.
        **params: given to each callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        from kcompile.training.callbacks.history import History
        from kcompile.training.callbacks.progress import ProgbarLogger

        super().__init__()
        self.callbacks: list[Any] = list(_flat(callbacks))
        if add_history and not any(isinstance(c, History) for c in self.callbacks):
            self.callbacks.append(History())
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback: Any) -> None:
        """Add one at the end."""
        self.callbacks.append(callback)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def looks_at_batches(self, kind: str) -> bool:
        return any(callback.looks_at_batches(kind) for callback in self.callbacks)


def _flat(callbacks: Any) -> Iterable[Any]:
    if callbacks is None:
        return
    if isinstance(callbacks, (list, tuple)):
        for entry in callbacks:
            yield from _flat(entry)
    elif isinstance(callbacks, CallbackList):
        yield from callbacks.callbacks
    else:
        yield callbacks


def _forward(hook: str, takes_number: bool) -> Any:
    def numbered(self: CallbackList, number: int, logs: Logs = None) -> None:
        ordered = _sorted(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(number, ordered)

    def plain(self: CallbackList, logs: Logs = None) -> None:
        ordered = _sorted(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(ordered)

    chosen = numbered if takes_number else plain
    chosen.__doc__ = f"Calls `{hook}` of each, with the logs in the order of their names."
    return chosen


def _sorted(logs: Logs) -> LogDict:
    return LogDict((key, logs[key]) for key in sorted(logs)) if logs else LogDict()


for _kind in ("train", "test", "predict"):
    for _when in ("begin", "end"):
        setattr(CallbackList, f"on_{_kind}_{_when}", _forward(f"on_{_kind}_{_when}", False))
        _hook = f"on_{_kind}_batch_{_when}"
        setattr(CallbackList, _hook, _forward(_hook, True))
for _hook in ("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end"):
    setattr(CallbackList, _hook, _forward(_hook, True))
