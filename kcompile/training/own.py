"""Training, evaluation and prediction by a model's own steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import NonFiniteLossError, TrainingError
from kcompile.ops.scopes import stateless
from kcompile.ops.structure import leaves
from kcompile.ops.trace import unused_name
from kcompile.training.loops import (
    OUTSIDE_TRAINING,
    Logs,
    Passes,
    Progress,
    WeightsOf,
    require_steps,
)
from kcompile.training.optimizers import Optimizer
from kcompile.training.weights import BorrowedWeights, copied


def optimizers_of(model: Any) -> list[Optimizer]:
    """The optimizers whose variables a model's own `train_step` gets, in this order.

    They are those that the model keeps in attributes, in the order in which these were set. A model
    that keeps none has the one that `compile` was given.

    Raises:
        TrainingError: one of several is not built.
    """
    kept = [leaf for leaf in leaves(list(vars(model).values())) if isinstance(leaf, Optimizer)]
    found = list(dict.fromkeys(kept))
    if not found:
        model.optimizer.build(model.trainable_variables)
        return [model.optimizer]
    for optimizer in found:
        if not optimizer.built:
            raise TrainingError(
                f"optimizer '{optimizer.name}' is not built",
                where=f"model '{model.name}'",
                hint="Call its build with the weights that it is for",
            )
    return found


class OwnTraining:
    """Training by `train_step`.

    Args:
        model: whose step it is.
        step: it, compiled.
        source: gives batches.
        progress: is moved on.
        steps_per_epoch: None for a pass over the data.
        seed: of the random numbers.
    """

    def __init__(
        self,
        model: Any,
        step: Callable[..., Any],
        source: Any,
        progress: Progress,
        steps_per_epoch: int | None,
        seed: int,
    ) -> None:
        self._model = model
        self._step = step
        self._progress = progress
        self._seed = seed
        self.optimizers = optimizers_of(model)
        self._source = source
        self.passes = Passes(source, progress, steps_per_epoch)
        named = model.named_weights()
        names = {variable: name for name, variable in named.items()}
        for optimizer in self.optimizers:
            optimizer.name_weights(names)
        self.weights = BorrowedWeights(named)
        self._trained = [names[v] for v in model.trainable_variables]
        self._others = [names[v] for v in model.non_trainable_variables]
        self._slots = BorrowedWeights(_named_slots(self.optimizers))
        self._metrics = _borrowed(model.metrics_variables)

    def run_epoch(self, epoch: int, callbacks: Any, should_stop: Callable[[], bool]) -> Logs:
        """Train for one epoch.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite.
        """
        done = self.passes.step  # of an epoch that is gone on with
        if not done:
            self._metrics.arrays = _initial(self._model)
        each = callbacks.looks_at_batches("train")
        logs: Logs = {}
        number = done
        for number, batch in enumerate(self.passes.epoch(), done + 1):
            callbacks.on_train_batch_begin(number - 1)
            logs = self._advance(batch)
            if each:
                logs = read_logs(logs, epoch, number - 1)
            callbacks.on_train_batch_end(number - 1, logs if each else {})
            if should_stop():
                break
        return read_logs(logs, epoch, number - 1)

    def _advance(self, batch: Any) -> Logs:
        for optimizer in self.optimizers:
            optimizer.refresh_rate()
        arrays = self.weights.present()
        state = (
            [arrays[name] for name in self._trained],
            [arrays[name] for name in self._others],
            list(self._slots.present().values()),
            list(self._metrics.present().values()),
        )
        logs, after = self._step(state, batch, self._seed, self._progress.num_updates)
        self._progress.num_updates += 1
        trained, others, slots, measured = after
        arrays.update(zip(self._trained, trained, strict=True))
        arrays.update(zip(self._others, others, strict=True))
        self._slots.arrays.update(zip(self._slots.arrays, slots, strict=True))
        self._metrics.arrays.update(zip(self._metrics.arrays, measured, strict=True))
        return dict(logs)

    def set_seed(self, seed: int) -> None:
        """Let orders of rows and random numbers be those of another seed."""
        self._seed = seed
        self._source.set_seed(seed)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of the weights, the metrics' and the optimizers' variables, by name."""
        return {
            f"{prefix}{name}": np.array(array)
            for prefix, borrowed in self._kept()
            for name, array in borrowed.present().items()
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Go on with what `snapshot` gave."""
        for prefix, borrowed in self._kept():
            kept = {name: arrays[f"{prefix}{name}"] for name in borrowed.arrays}
            borrowed.arrays.update(copied(kept))

    def _kept(self) -> list[tuple[str, BorrowedWeights]]:
        """What a snapshot holds, and the beginnings of its names there."""
        return [("weights/", self.weights), ("slots/", self._slots), ("metrics/", self._metrics)]

    def finish(self) -> None:
        """Give back what was borrowed."""
        for borrowed in (self.weights, self._slots, self._metrics):
            borrowed.give_back()


class OwnEvaluation:
    """Evaluation by `test_step`.

    Args:
        model, step, source, progress, seed: as for `OwnTraining`.
    """

    def __init__(
        self, model: Any, step: Callable[..., Any], source: Any, progress: Progress, seed: int
    ) -> None:
        self._model = model
        self._step = step
        self._progress = progress
        self._seed = seed + OUTSIDE_TRAINING
        self.source = source

    def run(
        self, weights_of: WeightsOf, callbacks: Any, epoch: int | None = None
    ) -> tuple[Logs, Mapping[str, Any]]:
        """The logs, and the states afterwards; see `loops.Evaluation`."""
        self.source.start_pass(0)
        callbacks.on_test_begin()
        weights = weights_of()
        names = {variable: name for name, variable in self._model.named_weights().items()}
        others = [names[v] for v in self._model.non_trainable_variables]
        state: Any = (
            [weights[names[v]] for v in self._model.trainable_variables],
            [weights[name] for name in others],
            list(_initial(self._model).values()),
        )
        each = callbacks.looks_at_batches("test")
        logs: Logs = {}
        number = 0
        while (batch := self.source.next(None)) is not None:
            callbacks.on_test_batch_begin(number)
            logs, state = self._step(state, batch, self._seed, self._progress.next_outside())
            if each:
                logs = read_logs(logs, epoch, number)
            callbacks.on_test_batch_end(number, logs if each else {})
            number += 1
        require_steps(number, epoch)
        self.source.end_epoch()
        logs = read_logs(logs, epoch, number - 1)
        callbacks.on_test_end(logs)
        return logs, dict(zip(others, state[1], strict=True))


def read_logs(logs: Logs, epoch: int | None, step: int) -> Logs:
    """The logs as numbers and arrays; waits for the device.

    Raises:
        NonFiniteLossError: the loss is NaN or infinite.
    """
    read: Logs = {}
    for name, value in logs.items():
        array = np.asarray(value)
        read[name] = array.item() if array.ndim == 0 else array
    loss = read.get("loss", 0.0)
    if isinstance(loss, float) and not math.isfinite(loss):
        raise NonFiniteLossError(
            "the loss that the model's own step returns is NaN or infinite",
            epoch=epoch,
            step=step,
            hint="Lower the learning rate, clip gradients, or look for a log or division of 0",
        )
    return read


def _named_slots(optimizers: list[Optimizer]) -> dict[str, Any]:
    """The optimizers' variables by names that end with those of weights."""
    named: dict[str, Any] = {}
    for number, optimizer in enumerate(optimizers):
        for variable in optimizer.variables:
            named[unused_name(f"{number}/{variable.path}", named)] = variable
    return named


def _borrowed(variables: Iterable[Any]) -> BorrowedWeights:
    return BorrowedWeights({str(number): v for number, v in enumerate(variables)})


def _initial(model: Any) -> dict[str, Any]:
    """The values of the metrics before the first batch, by their place."""
    arrays = [array for metric in model.metrics for array in metric.stateless_reset_state()]
    return {str(number): np.asarray(array) for number, array in enumerate(arrays)}


def with_optimizer_values(step: Callable[[Any, Any], Any], model: Any) -> Callable[[Any, Any], Any]:
    """The step; inside, the optimizers' variables have the values in the state that is given."""

    def run(state: Any, data: Any) -> Any:
        variables = [v for optimizer in optimizers_of(model) for v in optimizer.variables]
        with stateless(dict(zip(variables, state[2], strict=True))):
            return step(state, data)

    return run


def checked_step(step: Callable[[Any, Any], Any], where: str) -> Callable[[Any, Any], Any]:
    """The step, with a check of the state that it returns; it runs while the step is traced.

    Raises:
        TrainingError: the state has other numbers or shapes of arrays than the one given.
    """

    def checked(state: Any, data: Any) -> Any:
        logs, after = step(state, data)
        got, wanted = ([[np.shape(x) for x in part] for part in parts] for parts in (after, state))
        if got != wanted:
            raise TrainingError(
                f"the state returned has lists of {[len(part) for part in got]} arrays, of the"
                f" shapes {got}; the state given has {[len(part) for part in wanted]}, {wanted}",
                where=where,
                hint="Return (logs, state) with a state in the form of the one given",
            )
        return logs, tuple(list(part) for part in after)

    return checked
