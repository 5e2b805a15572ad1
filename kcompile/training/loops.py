"""The loops over epochs and batches."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.errors import NonFiniteLossError
from kcompile.training.blocks import BlockLength, Feeder
from kcompile.training.weights import BorrowedWeights

Logs = dict[str, Any]
#: Added to the seed of random ops outside training, where seeds are below it.
OUTSIDE_TRAINING = 2**31


class Runner:
    """Runs batches of one data set through one program.

    Args:
        program: a `kcompile.runtimes.jax.training.Program`.
        feeder: gives the rows.
        length: says how many steps go into one dispatch.
        seed: first word of the random keys.
    """

    def __init__(self, program: Any, feeder: Feeder, length: BlockLength, seed: int) -> None:
        self.program = program
        self.feeder = feeder
        self.length = length
        self.seed = seed

    def run(
        self,
        state: Any,
        frozen: Mapping[str, Any],
        position: int,
        end: int,
        first_step: int,
        rates: Callable[[int, int], Any],
        *,
        fresh: bool,
    ) -> tuple[Any, Logs, int, int]:
        """The next steps from batch `position` on, at most to `end`.

        Returns:
            State, logs, the number of steps, and how many of them were finite.
        """
        from kcompile.runtimes.jax.training import Batches

        start = time.perf_counter()
        key = (self.seed, first_step)
        limit = min(end, self.feeder.batching.num_full) - position
        if limit < 1 or not self.program.loops_well:
            data, indices = self.feeder.one(position)
            batch = Batches(indices, rates(first_step, 1)[0])
            state, logs, done = self.program.run_one(
                state, frozen, data, batch, key=key, fresh=fresh
            )
            return state, logs, 1, done
        count = self.length.next(min(limit, self.feeder.max_steps))
        data, indices, begin, stop = self.feeder.many(position, position + count)
        all_rates = np.zeros(len(indices), np.float32)
        all_rates[begin:stop] = rates(first_step, count)
        batches = Batches(indices, all_rates)
        state, logs, done = self.program.run_many(
            state, frozen, data, batches, begin, stop, key=key, fresh=fresh
        )
        self.length.measured(count, time.perf_counter() - start)
        return state, logs, count, done


class Evaluation:
    """Loss and metrics over a data set.

    Args:
        runner: of an evaluation program.
        num_batches: how many batches to take.
    """

    def __init__(self, runner: Runner, num_batches: int) -> None:
        self.runner = runner
        self.num_batches = num_batches
        self._metrics: Any = None

    def run(
        self, weights: Mapping[str, Any], callbacks: Any, first_step: int, epoch: int | None = None
    ) -> tuple[Logs, Mapping[str, Any]]:
        """The logs, and the states afterwards.

        Args:
            weights: by name; they are left alone, and copied where the program updates them.
            first_step: number of the first batch, for random ops.
            epoch: after which training validates; None outside training.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite.
        """
        from kcompile.runtimes.jax import training as xla

        program = self.runner.program
        frozen = {name: weights[name] for name in program.frozen_names}
        states = {n: weights[n] for n in program.state_names if n not in program.initial}
        metrics, self._metrics = self._metrics or xla.copied(program.initial), None
        state = xla.State({}, {**metrics, **xla.copied(states)}, None)
        self.runner.feeder.start_pass(0)
        callbacks.on_test_begin()
        position = 0
        logs: Logs = {}
        while position < self.num_batches:
            callbacks.on_test_batch_begin(position)
            state, logs, count, done = self.runner.run(
                state,
                frozen,
                position,
                self.num_batches,
                first_step + position,
                lambda first, number: np.zeros(number, np.float32),
                fresh=position == 0,
            )
            if done < count:
                which = "loss" if epoch is None else "validation loss"
                raise NonFiniteLossError(
                    f"the {which} is NaN or infinite",
                    epoch=epoch,
                    step=position + done,
                    hint="Look for weights that are too large, or for a log or division of 0",
                )
            position += count
            callbacks.on_test_batch_end(position - 1, logs)
        callbacks.on_test_end(logs)
        self._metrics = {name: state.states[name] for name in program.initial}
        return logs, state.states


@dataclass
class Progress:
    """How far training has come, over all calls of `fit`.

    Attributes:
        num_updates: updates of the weights.
        first_update: their number when the present optimizer started.
        num_passes: passes over data that were started; each has an order of its own.
        num_outside: batches of evaluation and prediction; each has random numbers of its own.
        slots: the optimizer's state.
    """

    num_updates: int = 0
    first_update: int = 0
    num_passes: int = 0
    num_outside: int = 0
    slots: Any = None


@dataclass
class Training:
    """Training on one data set.

    Attributes:
        runner: of the training program.
        weights: by name, borrowed from the model.
        frozen: names of those that do not change.
        progress: is moved on.
        rates: gives the learning rates of consecutive updates.
        steps_per_epoch: batches of an epoch; None for all.
    """

    runner: Runner
    weights: BorrowedWeights
    progress: Progress
    rates: Callable[[int, int], Any]
    steps_per_epoch: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    _position: int = 0
    _pass_started: bool = False

    def run_epoch(self, epoch: int, callbacks: Any, should_stop: Callable[[], bool]) -> Logs:
        """Train for one epoch.

        Raises:
            NonFiniteLossError: the loss or an updated weight became NaN or infinite; the weights
                are those before the step.
        """
        begin, end = self._batches()
        logs: Logs = {}
        while self._position < end:
            step = self._position - begin
            callbacks.on_train_batch_begin(step)
            logs, count = self._advance(epoch, step, end)
            callbacks.on_train_batch_end(step + count - 1, logs)
            if should_stop():
                break
        if self._position >= self.runner.feeder.batching.num_batches:
            self._pass_started = False
        return logs

    def _batches(self) -> tuple[int, int]:
        """First and last batch of the next epoch; starts another pass over the data if need be."""
        total = self.runner.feeder.batching.num_batches
        if self.steps_per_epoch is None or not self._pass_started:
            self._position, self._pass_started = 0, True
            self.runner.feeder.start_pass(self.progress.num_passes)
            self.progress.num_passes += 1
        wanted = total if self.steps_per_epoch is None else self._position + self.steps_per_epoch
        if wanted > total:
            warnings.warn(
                f"the data have {total} batches, so the epoch ends after"
                f" {total - self._position} of {self.steps_per_epoch} steps",
                stacklevel=4,
            )
        return self._position, min(wanted, total)

    def _advance(self, epoch: int, step: int, end: int) -> tuple[Logs, int]:
        from kcompile.runtimes.jax import training as xla

        program, weights = self.runner.program, self.weights
        weights.arrays.update(weights.assigned())
        arrays = {**weights.arrays, **self.metrics}
        state = xla.State(
            {name: arrays[name] for name in program.param_names},
            {name: arrays[name] for name in program.state_names},
            self.progress.slots,
        )
        state, logs, count, done = self.runner.run(
            state,
            {name: arrays[name] for name in program.frozen_names},
            self._position,
            end,
            self.progress.num_updates,
            self.rates,
            fresh=step == 0,
        )
        self._keep(state)
        self._position += count
        self.progress.num_updates += done
        if done < count:
            raise NonFiniteLossError(
                "the loss, or a weight updated by its gradient, is NaN or infinite; the weights are"
                " those before this step",
                epoch=epoch,
                step=step + done,
                hint="Lower the learning rate, clip gradients, or look for a log or division of 0",
            )
        return logs, count

    def _keep(self, state: Any) -> None:
        changed = {**state.params, **state.states}
        self.weights.arrays.update(
            (name, array) for name, array in changed.items() if name in self.weights.arrays
        )
        self.metrics = {name: changed[name] for name in self.metrics}
        self.progress.slots = state.slots
