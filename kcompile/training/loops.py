"""The loops over epochs and batches."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, NonFiniteLossError
from kcompile.training.sources import Block
from kcompile.training.weights import BorrowedWeights

Logs = dict[str, Any]
WeightsOf = Callable[[], Mapping[str, Any]]
#: Added to the seed of random ops outside training, where seeds are below it.
OUTSIDE_TRAINING = 2**31


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

    def next_outside(self) -> int:
        """The number of a batch of evaluation or prediction."""
        number = self.num_outside
        self.num_outside += 1
        return number


class Runner:
    """Runs the blocks of a source.

    Args:
        source: gives them.
        seed: first word of the random keys.
    """

    def __init__(self, source: Any, seed: int) -> None:
        self.source = source
        self.seed = seed

    def run(
        self,
        block: Block,
        state: Any,
        frozen: Mapping[str, Any],
        first_step: int,
        rates: Callable[[int, int], Any],
        *,
        fresh: bool,
    ) -> tuple[Any, Logs, int]:
        """State and logs after the block, and how many of its steps were finite."""
        from kcompile.runtimes.jax.training import Batches

        start = time.perf_counter()
        key = (self.seed, first_step)
        data, indices, begin, end = block.data, block.indices, block.begin, block.end
        if indices.ndim == 1:
            batch = Batches(indices, rates(first_step, 1)[0])
            result = block.program.run_one(state, frozen, data, batch, key=key, fresh=fresh)
        else:
            all_rates = np.zeros(len(indices), np.float32)
            all_rates[begin:end] = rates(first_step, end - begin)
            batches = Batches(indices, all_rates)
            result = block.program.run_many(
                state, frozen, data, batches, begin, end, key=key, fresh=fresh
            )
        if block.length is not None:
            block.length.measured(block.num_steps, time.perf_counter() - start)
        return result


class Evaluation:
    """Loss and metrics over a data set.

    Args:
        runner: of evaluation programs.
        progress: is moved on.
    """

    def __init__(self, runner: Runner, progress: Progress) -> None:
        self.runner = runner
        self.progress = progress
        self.source = runner.source
        self._metrics: Any = None

    def run(
        self, weights_of: WeightsOf, callbacks: Any, epoch: int | None = None
    ) -> tuple[Logs, Mapping[str, Any]]:
        """The logs, and the states afterwards.

        Args:
            weights_of: gives the weights by name, after callbacks could change them; they are left
                alone, and copied where the program updates them.
            epoch: after which training validates; None outside training.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite.
            DataError: there are no data.
        """
        from kcompile.runtimes.jax import training as xla

        self.source.start_pass(0)
        callbacks.on_test_begin()
        weights = weights_of()
        program = self.source.program
        frozen = {name: weights[name] for name in program.frozen_names}
        states = {n: weights[n] for n in program.state_names if n not in program.initial}
        metrics, self._metrics = self._metrics or xla.copied(program.initial), None
        state = xla.State({}, {**metrics, **xla.copied(states)}, None)
        step = 0
        logs: Logs = {}
        while (block := self.source.next(None)) is not None:
            callbacks.on_test_batch_begin(step)
            state, logs, done = self.runner.run(
                block, state, frozen, self.progress.num_outside, _no_rates, fresh=step == 0
            )
            self.progress.num_outside += block.num_steps
            if done < block.num_steps:
                which = "loss" if epoch is None else "validation loss"
                raise NonFiniteLossError(
                    f"the {which} is NaN or infinite",
                    epoch=epoch,
                    step=step + done,
                    hint="Look for weights that are too large, or for a log or division of 0",
                )
            step += block.num_steps
            callbacks.on_test_batch_end(step - 1, logs)
        require_steps(step, epoch)
        self.source.end_epoch()
        callbacks.on_test_end(logs)
        self._metrics = {name: state.states[name] for name in program.initial}
        return logs, state.states


def require_steps(count: int, epoch: int | None) -> None:
    """Check that an evaluation had data.

    Raises:
        DataError: it had not; a generator has none the second time.
    """
    if not count:
        raise DataError(
            "there are no batches left",
            where="evaluate" if epoch is None else f"validation after epoch {epoch + 1}",
            hint="Give data that can be read again, or fewer steps",
        )


def _no_rates(first: int, count: int) -> np.ndarray[Any, Any]:
    return np.zeros(count, np.float32)


class Passes:
    """How the epochs of training take the steps of a source.

    Without a number of steps an epoch is a pass over the data. With one, a pass may go on over
    several epochs.

    Args:
        source: of the steps.
        progress: counts the passes.
        steps_per_epoch: None for a pass.
    """

    def __init__(self, source: Any, progress: Progress, steps_per_epoch: int | None) -> None:
        self._source = source
        self._progress = progress
        self._wanted = steps_per_epoch
        self._is_started = False
        #: Number of the epoch to begin with, where a callback decided that.
        self.first_epoch: int | None = None
        #: Whether Ctrl-C ended training.
        self.is_interrupted = False
        #: Steps of the present epoch, and of the present pass, that have been taken.
        self.step = self.position = 0

    def resume(self, epoch: int, step: int, position: int) -> None:
        """Begin in that epoch after so many of its steps, which are so many of the pass."""
        self.first_epoch = epoch
        self.step, self.position = step, position
        if position:
            self._is_started = True
            self._source.start_pass(self._progress.num_passes - 1)
            left = position
            while left and (part := self._source.next(left)) is not None:
                left -= getattr(part, "num_steps", 1)

    def has_data(self) -> bool:
        """Whether there are data for another epoch."""
        return self._source.can_restart or self._source.has_more()

    def epoch(self) -> Iterator[Any]:
        """What the source gives in one epoch."""
        self._start(anew=self._wanted is None and not self.step)
        while self._wanted is None or self.step < self._wanted:
            limit = None if self._wanted is None else self._wanted - self.step
            part = self._source.next(limit)
            if part is None and not self.step and self._source.can_restart:
                # The pass ended with the last epoch, which nobody could know.
                self._start(anew=True)
                part = self._source.next(limit)
            if part is None:
                break
            count = getattr(part, "num_steps", 1)
            self.step += count
            self.position += count
            yield part
        self._finish()

    def _start(self, anew: bool) -> None:
        if anew or not self._is_started:
            self._is_started = True
            self.position = 0
            self._source.start_pass(self._progress.num_passes)
            self._progress.num_passes += 1
        elif self.position and not self.step:
            self._source.continue_pass()

    def _finish(self) -> None:
        if self._source.is_done or self._wanted is None:
            self._is_started = False
            self.position = 0
        self._source.end_epoch()
        if self._wanted is not None and self.step < self._wanted:
            warnings.warn(
                f"the data ran out: the epoch ends after {self.step} of {self._wanted} steps",
                stacklevel=4,
            )
        self.step = 0


@dataclass
class Training:
    """Training on one data set.

    Attributes:
        runner: of training programs.
        weights: by name, borrowed from the model.
        progress: is moved on.
        passes: cuts the data into epochs.
        rates: gives the learning rates of consecutive updates.
        metrics: their states, by name.
        keep_metrics: takes these in the end.
        debug_nans: whether an error names what made a step not finite.
    """

    runner: Runner
    weights: BorrowedWeights
    progress: Progress
    passes: Passes
    rates: Callable[[int, int], Any]
    metrics: dict[str, Any]
    keep_metrics: Callable[[Mapping[str, Any]], None]
    debug_nans: bool = False

    def run_epoch(self, epoch: int, callbacks: Any, should_stop: Callable[[], bool]) -> Logs:
        """Train for one epoch.

        Raises:
            NonFiniteLossError: the loss or an updated weight became NaN or infinite; the weights
                are those before the step.
        """
        logs: Logs = {}
        step = self.passes.step  # of an epoch that is gone on with
        for block in self.passes.epoch():
            callbacks.on_train_batch_begin(step)
            logs = self._advance(block, epoch, step)
            step += block.num_steps
            callbacks.on_train_batch_end(step - 1, logs)
            if should_stop():
                break
        return logs

    def finish(self) -> None:
        """Give back what was borrowed."""
        self.weights.give_back()
        self.keep_metrics(self.metrics)

    def set_seed(self, seed: int) -> None:
        """Let orders of rows and random numbers be those of another seed."""
        self.runner.seed = seed
        self.runner.source.set_seed(seed)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of the weights, the metrics' and the optimizer's state, by name."""
        from kcompile.runtimes.jax.own_steps import tree_arrays

        weights = {f"weights/{name}": array for name, array in self.weights.present().items()}
        metrics = {f"metrics/{name}": array for name, array in self.metrics.items()}
        return tree_arrays({**weights, **metrics}) | tree_arrays(self.progress.slots, "slots/")

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Go on with what `snapshot` gave."""
        from kcompile.runtimes.jax import training as xla
        from kcompile.runtimes.jax.own_steps import tree_like

        weights = {name: arrays[f"weights/{name}"] for name in self.weights.arrays}
        self.weights.arrays.update(xla.copied(weights))
        self.metrics = xla.copied({name: arrays[f"metrics/{name}"] for name in self.metrics})
        self.progress.slots = tree_like(self.progress.slots, arrays, "slots/")

    def _advance(self, block: Block, epoch: int, step: int) -> Logs:
        from kcompile.runtimes.jax import training as xla

        program = block.program
        arrays = {**self.weights.present(), **self.metrics}
        state = xla.State(
            {name: arrays[name] for name in program.param_names},
            {name: arrays[name] for name in program.state_names},
            self.progress.slots,
        )
        frozen = {name: arrays[name] for name in program.frozen_names}
        state, logs, done = self.runner.run(
            block, state, frozen, self.progress.num_updates, self.rates, fresh=step == 0
        )
        self._keep(state)
        self.progress.num_updates += done
        if done < block.num_steps:
            raise self._non_finite(block, state, frozen, done, epoch, step)
        return logs

    def _non_finite(
        self, block: Block, state: Any, frozen: Mapping[str, Any], done: int, epoch: int, step: int
    ) -> NonFiniteLossError:
        """The error for the step after `done` others of the block, and the state before it."""
        message = (
            "the loss, or a weight updated by its gradient, is NaN or infinite; the weights are"
            " those before this step"
        )
        hint = "Lower the learning rate, clip gradients, or look for a log or division of 0"
        if self.debug_nans:
            indices = (
                block.indices if block.indices.ndim == 1 else block.indices[block.begin + done]
            )
            key = (self.runner.seed, self.progress.num_updates)
            cause = block.program.non_finite_cause(state, frozen, block.data, indices, key)
            message = f"{message}. {cause[0].upper()}{cause[1:]}"
        else:
            hint += "; compile(..., debug_nans=True) names the layer"
        return NonFiniteLossError(message, epoch=epoch, step=step + done, hint=hint)

    def _keep(self, state: Any) -> None:
        changed = {**state.params, **state.states}
        self.weights.arrays.update(
            (name, array) for name, array in changed.items() if name in self.weights.arrays
        )
        self.metrics = {name: changed[name] for name in self.metrics}
        self.progress.slots = state.slots
