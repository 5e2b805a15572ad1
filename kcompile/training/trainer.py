"""What `Model.compile`, `fit`, `evaluate` and `predict` do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, NonFiniteLossError, TrainingError
from kcompile.ops import seeds
from kcompile.ops.structure import pack_like
from kcompile.training import arguments, programs
from kcompile.training import data as datasets
from kcompile.training.blocks import Feeder
from kcompile.training.cache import ProgramCache
from kcompile.training.callbacks import CallbackList
from kcompile.training.data import Batching, DataSet
from kcompile.training.interrupts import deferred_interrupt
from kcompile.training.loops import OUTSIDE_TRAINING, Evaluation, Logs, Progress, Runner, Training
from kcompile.training.objective import Settings
from kcompile.training.preparation import prepare, prepare_inputs, require_known_labels
from kcompile.training.weights import BorrowedWeights


class Trainer:
    """Trains, evaluates and predicts with one model.

    Programs are compiled when they are first needed and kept until `compile` is called again or
    the model's layers change.

    Args:
        model: a functional or sequential model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.optimizer: Any = None
        self.settings: Settings | None = None
        self.steps_per_execution = 1
        self.cache = ProgramCache(model)
        self.progress = Progress()
        self._seed: int | None = None
        self._flags: programs.TrainableFlags | None = None
        self._slots_of: tuple[Any, ...] | None = None
        self._transformation: Any = None

    # Settings

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train. Weights are trained that are trainable now.

        Args:
            optimizer: name, config, instance, or an optax transformation.
            loss: name, instance or function; a list or dict of them for several outputs.
            loss_weights: factors of the outputs' losses in the sum.
            metrics: what to measure; for several outputs a list of lists or a dict.
            weighted_metrics: the same, with sample weights.
            run_eagerly: not there: steps are always compiled.
            steps_per_execution: batches between two calls of callbacks that look at batches.
            jit_compile: False is not there.
            auto_scale_loss: means nothing without mixed precision.

        Raises:
            SpecError: the optimizer, a loss or a metric is unknown, or an argument out of range.
            NotImplementedError: an option is asked for that is not implemented.
        """
        from kcompile.training import optimizers

        if run_eagerly:
            raise NotImplementedError("run_eagerly=True is not there: steps are always compiled")
        if jit_compile not in ("auto", True, None):
            raise NotImplementedError("jit_compile=False is not there: steps are always compiled")
        del auto_scale_loss
        arguments.require_counts("compile", steps_per_execution=steps_per_execution)
        settings = Settings(loss, loss_weights, metrics, weighted_metrics)
        settings.require_known_names()
        self.optimizer = optimizers.get(optimizer)
        self.settings = settings
        self.steps_per_execution = steps_per_execution
        self._flags = programs.TrainableFlags(self.model)
        self.cache.clear()
        self.model.stop_training = False

    @property
    def metrics(self) -> list[Any]:
        """The metrics, the mean of the loss first; empty before the first data."""
        return [metric for _, metric in self._named_metrics()]

    @property
    def metrics_names(self) -> list[str]:
        """Their names in logs, in the order of what `evaluate` returns."""
        return [name for name, _ in self._named_metrics()]

    def _named_metrics(self) -> list[tuple[str, Any]]:
        objective = self.cache.objective
        return [] if objective is None else objective.named()

    # Training

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> Any:
        """Train on arrays.

        Ctrl-C stops after the steps that are running and raises KeyboardInterrupt; weights and
        `model.history` are then those reached.

        Args:
            x, y: rows of inputs and targets: an array, or a list or dict of arrays.
            batch_size: rows of a step; 32 by default.
            epochs: number of the last epoch.
            verbose: 0 prints nothing, 1 or 'auto' a progress bar, 2 a line for each epoch.
            callbacks: called as training goes on.
            validation_split: fraction of the rows to validate on, taken from the end.
            validation_data: `(x, y)` or `(x, y, sample_weight)` to validate on.
            shuffle: whether the rows come in another order in every epoch; 'batch' shuffles the
                rows in each batch.
            class_weight: weight of each class.
            sample_weight: weight of each row.
            initial_epoch: number of epochs that count as done.
            steps_per_epoch: batches of an epoch; all rows by default.
            validation_steps: batches to validate on; all rows by default.
            validation_batch_size: rows of such a batch; `batch_size` by default.
            validation_freq: validates every so many epochs, or after those listed.

        Returns:
            The `History`, with the logs of each epoch.

        Raises:
            DataError: the data do not fit, or hold NaN.
            NonFiniteLossError: a loss, or an updated weight, became NaN or infinite.
            SpecError: an argument is of the wrong type or out of range.
        """
        arguments.require_fit_arguments(
            epochs,
            initial_epoch,
            shuffle,
            validation_freq,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
        )
        self._require_compiled("fit")
        train, sizes = self._data(x, y, sample_weight, class_weight, "fit")
        validation = None
        if validation_data is not None:
            validation = self._validation_data(validation_data)
        elif validation_split:
            train, validation = datasets.split_validation(train, validation_split)
        batching = Batching.of(
            train.num_rows, batch_size, steps_per_epoch, shuffle, self._training_seed()
        )
        steps = steps_per_epoch or batching.num_batches
        listed = self._callbacks(callbacks, verbose, epochs, steps, add_history=True)
        training = self._training(train, sizes, batching, listed, steps_per_epoch)
        evaluation = None
        if validation is not None:
            size = validation_batch_size or batch_size
            evaluation = self._evaluation(validation, sizes, size, validation_steps, listed)
        validates = _validation_epochs(validation_freq)
        self.model.stop_training = False
        try:
            with deferred_interrupt() as interrupt:
                logs: Logs = {}
                listed.on_train_begin()
                for epoch in range(initial_epoch, epochs):
                    listed.on_epoch_begin(epoch)
                    logs = self._train_epoch(training, epoch, listed, interrupt)
                    if interrupt.requested:
                        break
                    if evaluation is not None and validates(epoch):
                        logs |= self._validate(training, evaluation, epoch, listed)
                    listed.on_epoch_end(epoch, logs)
                    if self.model.stop_training or interrupt.requested:
                        break
                listed.on_train_end(logs)
        finally:
            training.weights.give_back()
            self._keep_metrics(training.metrics)
        return self.model.history

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One update on one batch; returns its loss and metrics as `evaluate` does."""
        self._require_compiled("train_on_batch")
        data, sizes = self._data(x, y, sample_weight, class_weight, "train_on_batch")
        batching = Batching(data.num_rows, data.num_rows)
        training = self._training(data, sizes, batching, CallbackList(), None)
        try:
            logs = training.run_epoch(0, CallbackList(), lambda: False)
        finally:
            training.weights.give_back()
            self._keep_metrics(training.metrics)
        return self._returned(logs, return_dict)

    # Evaluation and prediction

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on arrays.

        Args:
            x, y, batch_size, verbose, sample_weight, callbacks: as in `fit`.
            steps: batches to take; all rows by default.
            return_dict: whether to return a dict by name.

        Returns:
            `[loss, metrics...]` in the order of `metrics_names`, or the loss if it is all.

        Raises:
            DataError: the data do not fit, or hold NaN.
            NonFiniteLossError: the loss is NaN or infinite.
            SpecError: an argument is of the wrong type or out of range.
        """
        arguments.require_counts("evaluate", batch_size=batch_size, steps=steps)
        self._require_compiled("evaluate")
        data, sizes = self._data(x, y, sample_weight, None, "evaluate")
        batching = Batching.of(data.num_rows, batch_size, steps)
        total = min(steps or batching.num_batches, batching.num_batches)
        listed = self._callbacks(callbacks, verbose, 1, total)
        evaluation = self._evaluation(data, sizes, batch_size, steps, listed)
        weights = self.model.named_weights()
        first = self._outside_training(evaluation.num_batches)
        logs, states = evaluation.run(_on_device(weights), listed, first)
        for name, array in states.items():
            if name in weights:
                weights[name].assign(array)
        self._keep_metrics(states)
        return self._returned(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch; returns what `evaluate` does."""
        return self.evaluate(
            x,
            y,
            batch_size=np.iinfo(np.int32).max,
            verbose=0,
            sample_weight=sample_weight,
            return_dict=return_dict,
        )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for arrays, as NumPy arrays in the structure of the model's outputs.

        Args:
            x, batch_size, verbose, callbacks: as in `fit`.
            steps: batches to take; all rows by default.

        Raises:
            DataError: the data do not fit.
            SpecError: an argument is of the wrong type or out of range.
        """
        from kcompile.runtimes.jax import training as xla

        arguments.require_counts("predict", batch_size=batch_size, steps=steps)
        data, sizes = prepare_inputs(self.model, x, "predict")
        data.require_rows("predict")
        batching = Batching.of(data.num_rows, batch_size, steps)
        total = min(steps or batching.num_batches, batching.num_batches)
        listed = self._callbacks(callbacks, verbose, 1, total)
        self.cache.follow_model()
        predictor = self.cache.predictor(sizes)
        named = self.model.named_weights()
        weights = _on_device({name: named[name] for name in predictor.weight_names})
        seed = self._training_seed() + OUTSIDE_TRAINING
        first = self._outside_training(total)
        parts: list[Any] = []
        listed.on_predict_begin()
        for number in range(total):
            listed.on_predict_batch_begin(number)
            begin = number * batching.batch_size
            rows = data.rows(slice(begin, begin + batching.batch_size)).x
            parts.append(xla.on_host(predictor.run(weights, rows, seed, first + number)))
            listed.on_predict_batch_end(number, {"outputs": parts[-1]})
        listed.on_predict_end()
        flat = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        return pack_like(_output_structure(self.model), flat)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        return self.predict(x, batch_size=np.iinfo(np.int32).max, verbose=0)

    # Parts of the above

    def _require_compiled(self, what: str) -> None:
        if self.settings is None:
            raise TrainingError(
                "the model has not been compiled",
                where=what,
                hint="Call compile(optimizer=..., loss=...) first",
            )

    def _training_seed(self) -> int:
        """The seed of shuffling and of random ops; drawn once, below 2**31."""
        if self._seed is None:
            self._seed = seeds.next_seed()
        return self._seed

    def _outside_training(self, num_batches: int) -> int:
        """The number of the first of so many batches, whose random numbers are nobody else's."""
        first = self.progress.num_outside
        self.progress.num_outside += num_batches
        return first

    def _data(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, where: str
    ) -> tuple[DataSet, dict[str, int]]:
        """Checked data, and the numbers of symbolic sizes; the objective is there afterwards."""
        data, sizes = prepare(self.model, x, y, sample_weight, class_weight, where)
        self.cache.follow_model()
        assert self.settings is not None
        objective = self.cache.resolve(self.settings, data)
        require_known_labels(self.model, objective, data, class_weight, where)
        return data, sizes

    def _validation_data(self, given: Any) -> DataSet:
        if not isinstance(given, (list, tuple)) or len(given) not in (2, 3):
            raise DataError("needs (x, y) or (x, y, sample_weight)", where="fit: validation_data")
        x, y, weight = (*given, None)[:3]
        return self._data(x, y, weight, None, "fit: validation data")[0]

    def _program(self, data: DataSet, sizes: Mapping[str, int], training: bool) -> Any:
        assert self._flags is not None
        if training and (changed := self._flags.differ()):
            warnings.warn(
                f"trainable has changed since compile, for {', '.join(changed)}; what was trainable"
                " then is trained. Call compile again to change that",
                stacklevel=4,
            )
        with self._flags.in_force():
            trainable = {n: v for n, v in self.model.named_weights().items() if v.trainable}
            key = programs.signature(data, sizes, training, tuple(trainable))
            if training and key not in self.cache.steps:
                self._prepare_optimizer(list(trainable.values()))
            return self.cache.step(key, self._transformation)

    def _prepare_optimizer(self, trainable: Sequence[Any]) -> None:
        """The optimizer's state starts anew with another optimizer or other weights."""
        self._transformation = self.optimizer.transformation()
        key = (self.optimizer, tuple(trainable))
        if self._slots_of != key:
            self._slots_of = key
            self.progress.slots = None
            self.progress.first_update = self.progress.num_updates

    def _training(
        self,
        data: DataSet,
        sizes: Mapping[str, int],
        batching: Batching,
        callbacks: CallbackList,
        steps_per_epoch: int | None,
    ) -> Training:
        from kcompile.runtimes.jax import training as xla

        program = self._program(data, sizes, training=True)
        feeder = Feeder(programs.graph_arrays(data), batching)
        fixed = self.steps_per_execution if callbacks.looks_at_batches("train") else None
        length = self.cache.length(program, batching, fixed)
        runner = Runner(program, feeder, length, self._training_seed())
        named = self.model.named_weights()
        used = [*program.param_names, *program.state_names, *program.frozen_names]
        weights = BorrowedWeights({name: named[name] for name in used if name in named})
        if self.progress.slots is None:
            params = {name: weights.arrays[name] for name in program.param_names}
            self.progress.slots = xla.initialize(self._transformation, params)
        first = self.progress.first_update
        return Training(
            runner,
            weights,
            self.progress,
            lambda update, count: self.optimizer.learning_rates(update - first, count),
            steps_per_epoch,
            metrics=xla.copied(program.initial),
        )

    def _evaluation(
        self,
        data: DataSet,
        sizes: Mapping[str, int],
        batch_size: int | None,
        steps: int | None,
        callbacks: CallbackList,
    ) -> Evaluation:
        program = self._program(data, sizes, training=False)
        batching = Batching.of(data.num_rows, batch_size, steps)
        fixed = self.steps_per_execution if callbacks.looks_at_batches("test") else None
        length = self.cache.length(program, batching, fixed)
        feeder = Feeder(programs.graph_arrays(data), batching)
        runner = Runner(program, feeder, length, self._training_seed() + OUTSIDE_TRAINING)
        return Evaluation(runner, min(steps or batching.num_batches, batching.num_batches))

    def _train_epoch(
        self, training: Training, epoch: int, callbacks: CallbackList, interrupt: Any
    ) -> Logs:
        try:
            return training.run_epoch(
                epoch, callbacks, lambda: self.model.stop_training or interrupt.requested
            )
        except NonFiniteLossError as error:
            return _handled(error, callbacks)

    def _validate(
        self, training: Training, evaluation: Evaluation, epoch: int, callbacks: CallbackList
    ) -> Logs:
        weights = training.weights
        weights.arrays.update(weights.assigned())
        first = self._outside_training(evaluation.num_batches)
        try:
            logs, states = evaluation.run(weights.arrays, callbacks, first, epoch)
        except NonFiniteLossError as error:
            return _handled(error, callbacks)
        weights.arrays.update((n, a) for n, a in states.items() if n in weights.arrays)
        return {f"val_{name}": value for name, value in logs.items()}

    def _callbacks(
        self, callbacks: Any, verbose: Any, epochs: int, steps: int, add_history: bool = False
    ) -> CallbackList:
        return CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            model=self.model,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )

    def _keep_metrics(self, states: Mapping[str, Any]) -> None:
        """Let the metrics' variables have the values that the program computed."""
        for variable, name in self.cache.metric_names.items():
            if name in states:
                variable.assign(states[name])

    def _returned(self, logs: Logs, return_dict: bool) -> Any:
        ordered = {name: logs[name] for name in self.metrics_names}
        if return_dict:
            return ordered
        values = list(ordered.values())
        return values[0] if len(values) == 1 else values


def _handled(error: NonFiniteLossError, callbacks: CallbackList) -> Logs:
    """No logs, if a callback handles the error; else it is raised."""
    handlers = [c for c in callbacks.callbacks if hasattr(c, "on_non_finite")]
    if not handlers:
        raise error
    for handler in handlers:
        handler.on_non_finite(error)
    return {}


def _output_structure(model: Any) -> Any:
    return getattr(model, "functional", model).output_structure


def _on_device(variables: Mapping[str, Any]) -> dict[str, Any]:
    from kcompile.runtimes.jax import training as xla

    return xla.to_device({name: variable.array for name, variable in variables.items()})


def _validation_epochs(frequency: int | Sequence[int]) -> Callable[[int], bool]:
    if isinstance(frequency, int):
        return lambda epoch: (epoch + 1) % frequency == 0
    wanted = set(frequency)
    return lambda epoch: epoch + 1 in wanted
