"""Logs as files that TensorBoard shows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.training.callbacks.base import Callback, Logs, is_overridden


class TensorBoard(Callback):
    """Writes the logs as event files: `train` and `validation` in `log_dir`.

    Args:
        log_dir: folder of the files.
        histogram_freq: epochs between histograms of the weights; 0 writes none.
        write_graph: accepted as in Keras; `kcompile inspect` shows the graph.
        write_steps_per_second: whether to write how many steps a second has.
        update_freq: 'epoch', or 'batch', or a number of batches between logs of the running epoch.
        write_images, profile_batch, embeddings_freq, embeddings_metadata: not there.

    Raises:
        ImportError: the package tensorboardX is missing.
        SpecError: there is no such `update_freq`.
        NotImplementedError: images, profiles or embeddings are asked for.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        asked = {
            "write_images": write_images,
            "profile_batch": profile_batch,
            "embeddings_freq": embeddings_freq,
            "embeddings_metadata": embeddings_metadata,
        }
        for name, value in asked.items():
            if value:
                raise NotImplementedError(f"TensorBoard: {name}={value!r} is not there yet")
        if update_freq not in ("epoch", "batch") and not (
            isinstance(update_freq, int) and update_freq > 0
        ):
            raise SpecError(
                f"update_freq must be 'epoch', 'batch' or a number of batches, got {update_freq!r}",
                where="TensorBoard",
            )
        _writer_class()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers: dict[str, Any] = {}
        self._num_batches = 0
        self._epoch_start = 0.0
        self._epoch_batches = 0

    def looks_at_batches(self, kind: str) -> bool:
        if kind != "train":
            return super().looks_at_batches(kind)
        others = ("on_train_batch_begin", "on_batch_begin", "on_batch_end")
        return self.update_freq != "epoch" or any(is_overridden(self, hook) for hook in others)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._num_batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch_start = time.perf_counter()
        self._epoch_batches = 0

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._num_batches += batch + 1 - self._epoch_batches
        self._epoch_batches = batch + 1
        if self.update_freq == "epoch" or self._num_batches % int(self.update_freq):
            return
        self._write("train", {f"batch_{n}": v for n, v in (logs or {}).items()}, self._num_batches)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = dict(logs or {})
        validation = {n.removeprefix("val_"): v for n, v in logs.items() if n.startswith("val_")}
        training = {n: v for n, v in logs.items() if not n.startswith("val_")}
        seconds = time.perf_counter() - self._epoch_start
        self._write("train", {f"epoch_{n}": v for n, v in training.items()}, epoch)
        if self.write_steps_per_second:
            rate = {"epoch_steps_per_second": self._epoch_batches / seconds}
            self._write("train", rate, epoch)
        self._write("validation", {f"epoch_{n}": v for n, v in validation.items()}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for name, variable in self.model.named_weights().items():
                self._writer("train").add_histogram(name, variable.numpy(), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write(self, part: str, numbers: dict[str, Any], step: int) -> None:
        for name, value in numbers.items():
            if np.ndim(value) == 0:
                self._writer(part).add_scalar(name, float(value), step)

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            self._writers[part] = _writer_class()(str(Path(self.log_dir, part)))
        return self._writers[part]


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "TensorBoard needs the package tensorboardX: pip install 'kcompile[tensorboard]'"
        ) from error
    return SummaryWriter
