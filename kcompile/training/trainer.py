"""What `Model.compile`, `fit`, `evaluate` and `predict` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import numpy as np

from kcompile.training import arguments, programs
from kcompile.training.callbacks import CallbackList
from kcompile.training.engine import Engine
from kcompile.training.fitting import Fit, validation_epochs
from kcompile.training.given import Given, given_for_validation
from kcompile.training.loops import Logs
from kcompile.training.objective import Settings
from kcompile.training.predicting import prediction
from kcompile.training.weights import on_device

#: A batch size that no batch exceeds.
_ONE_BATCH = int(np.iinfo(np.int32).max)


class Trainer(Engine):
    """Trains, evaluates and predicts with one model."""

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
        *,
        debug_nans: bool = False,
        remat: bool | Sequence[str] = False,
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
            auto_scale_loss: whether a model of the dtype policy `mixed_float16` gets its optimizer
                wrapped in a `LossScaleOptimizer`.
            debug_nans: whether the error of a training step that is not finite names the layer
                that made NaN or infinity first, forward or backward. It costs nothing before.
            remat: whether values are computed again for gradients instead of kept, which takes
                less memory and more time: True where the sizes of the values say that it pays, or
                a list of names (or paths) of the layers whose inner values are.

        Raises:
            SpecError: the optimizer, a loss or a metric is unknown, or an argument out of range.
            NotImplementedError: an option is asked for that is not implemented.
        """
        from kcompile.training import optimizers

        if run_eagerly:
            raise NotImplementedError("run_eagerly=True is not there: steps are always compiled")
        if jit_compile not in ("auto", True, None):
            raise NotImplementedError("jit_compile=False is not there: steps are always compiled")
        arguments.require_counts("compile", steps_per_execution=steps_per_execution)
        arguments.require_remat(remat, programs.overrides(self.model, "train_step"))
        settings = Settings(loss, loss_weights, metrics, weighted_metrics)
        settings.require_known_names()
        self.optimizer = optimizers.get(optimizer)
        if auto_scale_loss and self.model.dtype_policy.name == "mixed_float16":
            self.optimizer = optimizers.loss_scaled(self.optimizer)
        self.settings = settings
        self.restored = None
        self.steps_per_execution = steps_per_execution
        self.debug_nans = debug_nans
        self.remat = remat if isinstance(remat, bool) else list(remat)
        self._flags = programs.TrainableFlags(self.model)
        self.cache.clear()
        self.model.stop_training = False

    @property
    def metrics(self) -> list[Any]:
        """The metrics, the mean of the loss first; those of `compile` after the first data."""
        return [metric for _, metric in self._named_metrics()]

    @property
    def metrics_names(self) -> list[str]:
        """Their names in logs, in the order of what `evaluate` returns."""
        return [name for name, _ in self._named_metrics()]

    def _named_metrics(self) -> list[tuple[str, Any]]:
        objective = self.cache.objective
        if objective is not None:
            return objective.named()
        if self.settings is None:
            return []
        own = [(metric.name, metric) for metric in programs.own_metrics(self.model)]
        return [(self.loss_tracker.name, self.loss_tracker), *own]

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
        self.require_compiled("fit")
        given = Given(
            "fit", x, y, sample_weight, class_weight, batch_size, steps_per_epoch, shuffle
        )
        options = (validation_batch_size or batch_size, validation_steps)
        held_out = None
        if validation_data is not None:
            held_out = given_for_validation(validation_data, *options)
        elif validation_split:
            given, held_out = self.split(given, validation_split, *options)
        listed = self._callbacks(callbacks, verbose, add_history=True)
        with ExitStack() as stack:
            source = stack.enter_context(closing(self.source(given, listed, training=True)))
            evaluation = None
            if held_out is not None:
                validation = self.source(held_out, listed, training=False)
                evaluation = self.evaluation(stack.enter_context(closing(validation)))
            training = self.running = self.training(source, steps_per_epoch)
            stack.callback(training.finish)
            _set_params(listed, verbose, epochs, steps_per_epoch or source.num_batches)
            validates = validation_epochs(validation_freq)
            Fit(self.model, training, evaluation, listed, (initial_epoch, epochs), validates).run()
        return self.model.history

    def warmup(self, x: Any, y: Any = None, *args: Any, **options: Any) -> None:
        """Compile before there are data; see `kcompile.training.warming.warm_up`."""
        from kcompile.training.warming import warm_up

        warm_up(self, x, y, *args, **options)

    def memory_report(self, batch_size: int = 32, **options: Any) -> Any:
        """What training needs; see `kcompile.training.memory_report.memory_report`."""
        from kcompile.training.memory_report import memory_report

        return memory_report(self, batch_size, **options)

    def profile(self, x: Any, y: Any = None, *args: Any, **options: Any) -> Any:
        """Where the time of a step goes; see `kcompile.training.profiling.profile`."""
        from kcompile.training.profiling import profile

        return profile(self, x, y, *args, **options)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One update on one batch; returns its loss and metrics as `evaluate` does."""
        self.require_compiled("train_on_batch")
        given = Given("train_on_batch", x, y, sample_weight, class_weight, _ONE_BATCH)
        nobody = CallbackList()
        with ExitStack() as stack:
            source = stack.enter_context(closing(self.source(given, nobody, training=True)))
            training = self.training(source, None)
            stack.callback(training.finish)
            logs = training.run_epoch(0, nobody, lambda: False)
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
        self.require_compiled("evaluate")
        given = Given("evaluate", x, y, sample_weight, None, batch_size, steps)
        listed = self._callbacks(callbacks, verbose)
        with closing(self.source(given, listed, training=False)) as source:
            _set_params(listed, verbose, 1, source.num_batches)
            weights = self.model.named_weights()
            logs, states = self.evaluation(source).run(lambda: on_device(weights), listed)
        for name, array in states.items():
            if name in weights:
                weights[name].assign(array)
        self.keep_metrics(states)
        return self._returned(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch; returns what `evaluate` does."""
        return self.evaluate(
            x,
            y,
            batch_size=_ONE_BATCH,
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
        arguments.require_counts("predict", batch_size=batch_size, steps=steps)
        given = Given("predict", x, batch_size=batch_size, steps=steps)
        listed = self._callbacks(callbacks, verbose)
        outputs = prediction(self, given)
        with closing(outputs.source):
            _set_params(listed, verbose, 1, outputs.source.num_batches)
            return outputs.run(listed)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        return self.predict(x, batch_size=_ONE_BATCH, verbose=0)

    def _callbacks(self, callbacks: Any, verbose: Any, add_history: bool = False) -> CallbackList:
        return CallbackList(callbacks, add_history, verbose != 0, self.model)

    def _returned(self, logs: Logs, return_dict: bool) -> Any:
        known = {name: logs[name] for name in self.metrics_names if name in logs}
        ordered = {**known, **logs}  # a step of the model's own may return more
        if return_dict:
            return ordered
        values = list(ordered.values())
        return values[0] if len(values) == 1 else values


def _set_params(callbacks: CallbackList, verbose: Any, epochs: int, steps: int | None) -> None:
    callbacks.set_params({"verbose": verbose, "epochs": epochs, "steps": steps})
