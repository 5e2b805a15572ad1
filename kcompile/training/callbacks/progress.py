"""The progress bar."""

from __future__ import annotations

import sys
import time
from typing import Any

from kcompile.training.callbacks.base import Callback, Logs

_WIDTH = 20  # characters of the bar
_INTERVAL = 0.05  # seconds between two updates on a terminal


class ProgbarLogger(Callback):
    """Prints progress and logs.

    `verbose=1` shows a bar, live on a terminal; where the output is no terminal, one line for each
    epoch. `verbose=2` prints one line for each epoch, without a bar.
    """

    def __init__(self) -> None:
        super().__init__()
        self.verbose: int = 1
        self._in_fit = False
        self._bar: _Bar | None = None

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.verbose = 1 if params.get("verbose") == "auto" else int(params.get("verbose", 1))

    def looks_at_batches(self, kind: str) -> bool:
        return False

    def on_train_begin(self, logs: Logs = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs = None) -> None:
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.verbose and self.params["epochs"] > 1:
            _write(f"Epoch {epoch + 1}/{self.params['epochs']}\n")
        self._start()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._update(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        if not self._in_fit:
            self._start()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not self._in_fit:
            self._update(batch, logs)

    def on_test_end(self, logs: Logs = None) -> None:
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs = None) -> None:
        self._start()

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._update(batch, None)

    def on_predict_end(self, logs: Logs = None) -> None:
        self._finish(None)

    def _start(self) -> None:
        self._bar = _Bar(self.params["steps"])

    def _update(self, batch: int, logs: Logs) -> None:
        if self._bar is not None:
            self._bar.seen = batch + 1
            if self.verbose == 1:
                self._bar.update(logs)

    def _finish(self, logs: Logs) -> None:
        if self.verbose and self._bar is not None:
            self._bar.finish(logs, self.verbose == 1)
        self._bar = None


class _Bar:
    """One line that is written over: `3/4 ━━━━ 0s 2ms/step - loss: 0.1`.

    Args:
        target: number of the last step; None if the data have an end that is not known.
    """

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.seen = 0
        self._start = time.perf_counter()
        self._last = 0.0
        self._console = _console() if sys.stdout.isatty() else None

    def update(self, logs: Logs) -> None:
        """Show the steps that have been seen, but not too often."""
        now = time.perf_counter()
        is_last = self.target is not None and self.seen >= self.target
        if self._console is None or now - self._last < _INTERVAL or is_last:
            return
        self._last = now
        per_step = (now - self._start) / max(self.seen, 1)
        left = per_step * (self.target - self.seen) if self.target else now - self._start
        text = f"{_seconds(left)} {_duration(per_step)}/step{format_logs(logs)}"
        self._draw(text, self.target, end="")

    def finish(self, logs: Logs, with_bar: bool) -> None:
        target = self.seen = self.target or self.seen
        elapsed = time.perf_counter() - self._start
        per_step = f"{_duration(elapsed / max(target, 1))}/step"
        if not with_bar:
            line = f"{target}/{target} - {_seconds(elapsed)} - {per_step}"
            _write(f"{line}{format_logs(logs)}\n")
            return
        self._draw(f"{_seconds(elapsed)} {per_step}{format_logs(logs)}", target, end="\n")

    def _draw(self, text: str, target: int | None, end: str) -> None:
        known = "Unknown" if target is None else str(target)
        count = f"{self.seen:{0 if target is None else len(known)}d}/{known}"
        done = 0 if target is None else _WIDTH * self.seen // max(target, 1)
        if self._console is None:
            _write(f"{count} {'━' * _WIDTH} {text}{end}")
            return
        from rich.text import Text

        line = Text.assemble(
            (count, "bold"), " ", ("━" * done, "green"), ("━" * (_WIDTH - done), "dim"), " ", text
        )
        sys.stdout.write("\r\x1b[2K")
        self._console.print(line, end=end, soft_wrap=True)
        sys.stdout.flush()


def format_logs(logs: Logs) -> str:
    """` - accuracy: 0.9667 - loss: 1.2e-04`, as Keras rounds them."""
    return "".join(f" - {name}: {_number(value)}" for name, value in (logs or {}).items())


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
    return str(value)


def _seconds(seconds: float) -> str:
    if seconds > 3600:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
    if seconds > 60:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
    return f"{int(seconds)}s"


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
