"""Going on with training that was cut off."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kcompile.ir.errors import FormatError, SpecError
from kcompile.training.callbacks.base import Callback, Logs, is_overridden
from kcompile.utils.atomic import replacing

Array: TypeAlias = np.ndarray[Any, Any]

_LATEST, _PREVIOUS = "latest.npz", "previous.npz"
_COUNTERS = ("num_updates", "first_update", "num_passes", "num_outside")


class BackupAndRestore(Callback):
    """Saves the state of training, and goes on with it when `fit` is called again.

    A run that goes on computes what the run that was cut off would have: weights, the optimizer's
    state, metrics, the order of the rows and random numbers are those it would have had, to the
    last bit, whenever the process was killed. A generator has to begin anew for that. What other
    callbacks remember, as EarlyStopping does its best epoch, begins anew. Weights are told apart by
    their place in the model, not by name.

    Args:
        backup_dir: folder of the files, made where it is missing; for one run only.
        save_freq: 'epoch', or a number of batches.
        double_checkpoint: whether to keep the state before the last one as well.
        delete_checkpoint: whether to delete the files when training ends, other than by Ctrl-C.

    Raises:
        SpecError: `backup_dir` is empty, or there is no such `save_freq`.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise SpecError("backup_dir is empty", where="BackupAndRestore")
        if save_freq != "epoch" and (not isinstance(save_freq, int) or save_freq < 1):
            raise SpecError(
                f"save_freq must be 'epoch' or a number of batches, got {save_freq!r}",
                where="BackupAndRestore",
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._epoch = 0
        self._unsaved = 0  # batches
        self._last_step = 0

    def looks_at_batches(self, kind: str) -> bool:
        if kind != "train":
            return super().looks_at_batches(kind)
        others = ("on_train_batch_begin", "on_batch_begin", "on_batch_end")
        return self.save_freq != "epoch" or any(is_overridden(self, hook) for hook in others)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._unsaved = self._last_step = 0
        path = Path(self.backup_dir, _LATEST)
        if path.exists():
            self._restore(path)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch
        self._last_step = self.model.trainer.running.passes.step

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            return
        self._unsaved += batch + 1 - self._last_step
        self._last_step = batch + 1
        if self._unsaved >= int(self.save_freq):
            self._unsaved = 0
            self._save(self._epoch, self.model.trainer.running.passes.step)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch + 1, 0)

    def on_train_end(self, logs: Logs = None) -> None:
        if self.delete_checkpoint and not self.model.trainer.running.passes.is_interrupted:
            shutil.rmtree(self.backup_dir, ignore_errors=True)

    def _save(self, epoch: int, step: int) -> None:
        trainer = self.model.trainer
        counters = {name: getattr(trainer.progress, name) for name in _COUNTERS}
        state = {
            **counters,
            "epoch": epoch,
            "step": step,
            "position": trainer.running.passes.position,
            "seed": trainer.seed(),
            "learning_rates": [_number(o.learning_rate) for o in self._optimizers()],
        }
        snapshot = trainer.running.snapshot()
        keys = self._keys(snapshot)
        arrays = {keys[name]: array for name, array in snapshot.items()}
        state["dtypes"] = _dtypes(arrays)
        path = Path(self.backup_dir, _LATEST)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint and path.exists():
            shutil.copyfile(path, path.with_name(_PREVIOUS))
        with replacing(path) as part, part.open("wb") as file:
            stored: dict[str, Any] = {n: _storable(array) for n, array in arrays.items()}
            np.savez(file, state=np.array(json.dumps(state)), **stored)

    def _restore(self, path: Path) -> None:
        trainer = self.model.trainer
        arrays, state = _read(path)
        snapshot = trainer.running.snapshot()
        keys = self._keys(snapshot)
        expected = {keys[name]: array for name, array in snapshot.items()}
        if _shapes(arrays) != _shapes(expected) or state.get("dtypes") != _dtypes(expected):
            raise FormatError(
                "the backup is of another model or optimizer",
                where=str(path),
                hint="Give each run a folder of its own, or delete this one",
            )
        for name in _COUNTERS:
            setattr(trainer.progress, name, state[name])
        trainer.set_seed(state["seed"])
        for optimizer, rate in zip(self._optimizers(), state["learning_rates"], strict=True):
            if rate is not None and not callable(optimizer.learning_rate):
                optimizer.learning_rate = rate
        trainer.running.restore(
            {name: arrays[keys[name]].view(array.dtype) for name, array in snapshot.items()}
        )
        trainer.running.passes.resume(state["epoch"], state["step"], state["position"])

    def _optimizers(self) -> list[Any]:
        """Those of the model's own steps, or the one of `compile`."""
        return getattr(self.model.trainer.running, "optimizers", [self.model.optimizer])

    def _keys(self, names: Iterable[str]) -> dict[str, str]:
        """Names of a snapshot with the places of weights instead of their names.

        The names of layers are numbered by how many were made before, so another run has others.
        """
        places: dict[str, int] = {}
        for place, (name, variable) in enumerate(self.model.named_weights().items()):
            places[name] = place
            places.setdefault(variable.path, place)
        return {name: _key(name, places) for name in names}


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a backup, and the rest.

    Raises:
        FormatError: the file is damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        return arrays, dict(json.loads(str(arrays.pop("state"))))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError) as error:
        previous = path.with_name(_PREVIOUS)
        way = f"rename {previous.name} to {path.name}" if previous.exists() else "delete it"
        raise FormatError(
            f"the backup cannot be read ({error})", where=str(path), hint=f"To go on, {way}"
        ) from error


def _key(name: str, places: Mapping[str, int]) -> str:
    """The name with its longest end that is a weight's name replaced by the weight's place."""
    parts = name.split("/")
    for begin in range(1, len(parts)):
        place = places.get("/".join(parts[begin:]))
        if place is not None:
            return "/".join([*parts[:begin], f"#{place}"])
    return name


def _number(rate: Any) -> float | None:
    """A learning rate that is a number; None for a schedule or function."""
    return None if callable(rate) else float(rate)


def _storable(array: Array) -> Array:
    """The array, or its bits as integers where its dtype is none of NumPy's, as bfloat16."""
    return array.view(f"u{array.itemsize}") if array.dtype.kind == "V" else array


def _shapes(arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _dtypes(arrays: Mapping[str, Array]) -> dict[str, str]:
    return {name: str(array.dtype) for name, array in arrays.items()}
