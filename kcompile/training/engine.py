"""What `fit`, `evaluate` and `predict` are made of, for one model."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile.ir.errors import DataError, TrainingError
from kcompile.ops import seeds
from kcompile.ops.batches import pack_x_y_sample_weight, unpack_x_y_sample_weight
from kcompile.ops.trace import current_trace, run_eagerly
from kcompile.training import labels, optimizer_state, programs, streams
from kcompile.training.blocks import Feeder
from kcompile.training.cache import ProgramCache
from kcompile.training.callbacks import CallbackList
from kcompile.training.data import DataSet, split_row, split_validation
from kcompile.training.given import Given
from kcompile.training.loops import (
    OUTSIDE_TRAINING,
    Evaluation,
    Passes,
    Progress,
    Runner,
    Training,
)
from kcompile.training.objective import Objective, Settings
from kcompile.training.own import OwnEvaluation, OwnTraining, checked_step, with_optimizer_values
from kcompile.training.preparation import (
    ModelView,
    named_by_output,
    prepare,
    raw_arrays,
    require_known_labels,
)
from kcompile.training.reading import Batch, Reader
from kcompile.training.sources import ArraySource
from kcompile.training.stream_sources import BlockSource, StepSource
from kcompile.training.weights import BorrowedWeights


class Engine:
    """Keeps what training a model needs, and makes its parts.

    Programs are compiled when they are first needed and kept until `compile` is called again or
    the model's layers change.

    Args:
        model: of any kind.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.optimizer: Any = None
        self.settings: Settings | None = None
        self.steps_per_execution = 1
        #: Whether errors name the layer that made a step not finite.
        self.debug_nans = False
        #: What training computes again for gradients: all that pays, or layers by name.
        self.remat: bool | list[str] = False
        self.cache = ProgramCache(model)
        self.progress = Progress()
        #: The training that is going on in `fit`.
        self.running: Any = None
        #: The optimizer's state of a file, until training takes it up.
        self.restored: list[Any] | None = None
        self._seed: int | None = None
        self._flags: programs.TrainableFlags | None = None
        self._slots_of: tuple[Any, ...] | None = None
        self._transformation: Any = None

    def require_compiled(self, what: str) -> None:
        """Check that `compile` was called.

        Raises:
            TrainingError: it was not.
        """
        if self.settings is None:
            raise TrainingError(
                "the model has not been compiled",
                where=what,
                hint="Call compile(optimizer=..., loss=...) first",
            )

    def seed(self) -> int:
        """The seed of shuffling and of random ops; drawn once, below 2**31."""
        if self._seed is None:
            self._seed = seeds.next_seed()
        return self._seed

    def set_seed(self, seed: int) -> None:
        """Go on with the seed of another run."""
        self._seed = seed
        if self.running is not None:
            self.running.set_seed(seed)

    # Data

    def prepare(self, given: Given) -> tuple[DataSet, dict[str, int]]:
        """Checked arrays, and the numbers of symbolic sizes; the objective is there afterwards."""
        data, sizes = prepare(
            self.model,
            given.x,
            given.y,
            given.sample_weight,
            given.class_weight,
            given.where,
        )
        self.cache.follow_model()
        assert self.settings is not None
        objective = self.cache.resolve(self.settings, data)
        require_known_labels(self.model, objective, data, given.class_weight, given.where)
        return data, sizes

    def stream(self, given: Given) -> streams.Stream | None:
        """The batches of data that are no arrays in memory; None for arrays."""
        if streams.is_stream(given.x):
            return streams.make_stream(
                given.x, given.y, given.sample_weight, given.shuffle, self.seed(), given.where
            )
        parts = given.parts
        if not streams.has_file_rows(*parts):
            return None
        begin, num_rows = given.rows or (0, streams.count_rows(*parts))
        return streams.RowStream(*parts, given.batching(num_rows, self.seed()), begin)

    def split(
        self, given: Given, fraction: float, batch_size: int | None, steps: int | None
    ) -> tuple[Given, Given]:
        """The data without their last rows, and those, to validate on in batches of another size.

        Raises:
            DataError: the data come in batches, or one of the two would be empty.
        """
        if streams.is_stream(given.x):
            raise DataError(
                "validation_split is for arrays", where="fit", hint="Give validation_data"
            )
        held_out = dataclasses.replace(
            given,
            where="fit: validation data",
            class_weight=None,
            batch_size=batch_size,
            steps=steps,
            shuffle=False,
        )
        parts = given.parts
        if streams.has_file_rows(*parts):
            num_rows = streams.count_rows(*parts)
            size = split_row(num_rows, fraction)
            return (
                dataclasses.replace(given, rows=(0, size)),
                dataclasses.replace(held_out, rows=(size, num_rows - size)),
            )
        data, _ = prepare(self.model, *parts, None, given.where, for_device=False)
        train, rest = split_validation(data, fraction)
        return given.with_data(train), held_out.with_data(rest)

    def _preparation(self, given: Given, training: bool) -> Callable[[Any], Batch]:
        """Checks the batches of a stream; the first one builds the model if need be."""
        view: list[ModelView] = []

        def prepare_batch(batch: Any) -> Batch:
            x, y, weight = unpack_x_y_sample_weight(batch)
            if not view:
                data, sizes = self.prepare(given.with_parts(x, y, weight))
                view.append(ModelView(self.model))
            else:
                data, sizes = prepare(view[0], x, y, weight, given.class_weight, given.where)
                objective = self.cache.objective
                assert objective is not None
                require_known_labels(view[0], objective, data, given.class_weight, given.where)
            key = programs.signature(data, sizes, training)
            return Batch(key, programs.graph_arrays(data))

        return prepare_batch

    # Programs

    def flags_in_force(self) -> contextlib.AbstractContextManager[None]:
        """Inside, those weights are trainable that were so when `compile` was called."""
        assert self._flags is not None
        return self._flags.in_force()

    def program(self, key: programs.Signature) -> Any:
        """The program of a step; which weights it trains was decided by `compile`."""
        assert self._flags is not None
        if key.training and (changed := self._flags.differ()):
            warnings.warn(
                f"trainable has changed since compile, for {', '.join(changed)}; what was trainable"
                " then is trained. Call compile again to change that",
                stacklevel=6,
            )
        with self._flags.in_force():
            trainable = {n: v for n, v in self.model.named_weights().items() if v.trainable}
            key = dataclasses.replace(key, trainable=tuple(trainable))
            if key.training and key not in self.cache.steps:
                self._prepare_optimizer(trainable)
            return self.cache.step(key, self._transformation, self.remat)

    def _prepare_optimizer(self, trainable: Mapping[str, Any]) -> None:
        """The optimizer's state starts anew with another optimizer or other weights."""
        names = {variable: name for name, variable in trainable.items()}
        self._transformation = self.optimizer.transformation(names)
        key = (self.optimizer, tuple(names))
        if self._slots_of != key:
            self._slots_of = key
            self.progress.slots = None
            self.progress.first_update = self.progress.num_updates

    # Sources

    def source(self, given: Given, callbacks: CallbackList, training: bool) -> Any:
        """What gives the steps on data, for training or evaluation."""
        kind = "train" if training else "test"
        if programs.overrides(self.model, f"{kind}_step"):
            return self.step_source(given, training)
        fixed = self.steps_per_execution if callbacks.looks_at_batches(kind) else None
        limit = None if training else given.steps
        stream = self.stream(given)
        if stream is None:
            return self._array_source(*self.prepare(given), given, fixed, training)
        reader = Reader(
            stream, self._preparation(given, training), self.progress.num_passes if training else 0
        )
        return BlockSource(
            reader,
            self.program,
            lambda program, rows: self.cache.length(program, fixed, rows),
            limit,
        )

    def step_source(self, given: Given, training: bool) -> StepSource[Any]:
        """Batches for the model's own steps, in the structure in which they are given."""
        stream = self.stream(given)
        if stream is None:
            x, y, weight = (raw_arrays(part, given.where) for part in given.parts)
            batching = given.batching(streams.count_rows(x, y, weight), self.seed())
            stream = streams.RowStream(x, y, weight, batching)
        first_pass = self.progress.num_passes if training else 0
        reader = Reader(stream, lambda batch: self._raw_batch(batch, given), first_pass)
        source = StepSource(reader, None if training else given.steps)
        x, y, weight = unpack_x_y_sample_weight(source.first())
        if not self.model.built:
            self.model.build_for(x)
        self.cache.follow_model()
        assert self.settings is not None
        if self.settings.loss is not None or self.settings.metrics is not None:
            self.prepare(given.with_parts(x, y, weight))
        return source

    def _raw_batch(self, batch: Any, given: Given) -> Any:
        x, y, weight = (raw_arrays(part, given.where) for part in unpack_x_y_sample_weight(batch))
        if given.class_weight is not None:
            if weight is not None:
                raise DataError("takes class_weight or sample_weight, not both", where=given.where)
            weight = labels.class_weights(y, given.class_weight)
        return pack_x_y_sample_weight(x, y, weight)

    def own_step(self, method: str, donates: bool = False) -> Any:
        """A step of the model's own, compiled."""
        from kcompile.runtimes.jax.own_steps import OwnStep

        if method not in self.cache.own_steps:
            step = getattr(self.model, method)
            if method == "train_step":
                step = with_optimizer_values(step, self.model)
            if method != "predict_step":
                step = checked_step(step, f"model '{self.model.name}': {method}")
            self.cache.own_steps[method] = OwnStep(step, donates)
        return self.cache.own_steps[method]

    def _array_source(
        self,
        data: DataSet,
        sizes: Mapping[str, int],
        given: Given,
        fixed: int | None,
        training: bool,
    ) -> ArraySource:
        program = self.program(programs.signature(data, sizes, training))
        batching = given.batching(data.num_rows, self.seed())
        length = self.cache.length(program, fixed, batching.batch_size, batching.num_full)
        feeder = Feeder(programs.graph_arrays(data), batching)
        return ArraySource(program, feeder, length, None if training else given.steps)

    # Training and evaluation

    def training(self, source: Any, steps_per_epoch: int | None) -> Any:
        """Training on the steps of a source. It holds the weights until `finish`."""
        from kcompile.runtimes.jax import training as xla

        if isinstance(source, StepSource):
            if self.debug_nans:
                raise NotImplementedError("debug_nans=True is not there for steps of one's own")
            step = self.own_step("train_step", donates=True)
            return OwnTraining(
                self.model, step, source, self.progress, steps_per_epoch, self.seed()
            )
        program = source.program
        named = self.model.named_weights()
        used = [*program.param_names, *program.state_names, *program.frozen_names]
        weights = BorrowedWeights({name: named[name] for name in used if name in named})
        if self.progress.slots is None:
            params = {name: weights.arrays[name] for name in program.param_names}
            self.progress.slots = xla.initialize(self._transformation, params)
            optimizer_state.resume(self)
        self.optimizer.follow(self.progress)
        return Training(
            Runner(source, self.seed()),
            weights,
            self.progress,
            Passes(source, self.progress, steps_per_epoch),
            self.optimizer.upcoming_rates,
            xla.copied(program.initial),
            self.keep_metrics,
            self.debug_nans,
        )

    def evaluation(self, source: Any) -> Any:
        """Loss and metrics of the steps of a source."""
        if isinstance(source, StepSource):
            step = self.own_step("test_step")
            return OwnEvaluation(self.model, step, source, self.progress, self.seed())
        return Evaluation(Runner(source, self.seed() + OUTSIDE_TRAINING), self.progress)

    # Parts of steps of one's own

    @property
    def loss_tracker(self) -> Any:
        """The mean of the loss."""
        assert self.settings is not None
        return self.settings.mean

    def compute_loss(self, y: Any, y_pred: Any, sample_weight: Any, added: Sequence[Any]) -> Any:
        """The loss of `compile` for arrays or tensors, with `added` or what the model adds."""
        if current_trace() is None:
            losses = list(added) or self.model.losses
            return run_eagerly(
                "compute_loss", self._objective_loss, (y, y_pred, sample_weight, losses), {}
            )
        return self._objective_loss(y, y_pred, sample_weight, self.model.losses)

    def _objective_loss(self, y: Any, y_pred: Any, sample_weight: Any, added: Any) -> Any:
        objective = self._resolved()
        predictions, targets, weights = (
            named_by_output(self.model, part) for part in (y_pred, y, sample_weight)
        )
        return objective.loss(predictions, targets, weights, added)

    def compute_metrics(self, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        """Update the metrics of `compile`; the results of all metrics."""

        def update(y: Any, y_pred: Any, sample_weight: Any) -> None:
            named = [named_by_output(self.model, part) for part in (y_pred, y, sample_weight)]
            self._resolved().measure(*named)

        run_eagerly("compute_metrics", update, (y, y_pred, sample_weight), {})
        return {
            name: metric.result() for name, metric in self._resolved().named() if metric.variables
        }

    def _resolved(self) -> Objective:
        if self.cache.objective is None:
            raise TrainingError(
                "the losses and metrics are not known yet",
                where="compute_loss",
                hint="Give compile a loss, and call fit, evaluate or train_on_batch",
            )
        return self.cache.objective

    def keep_metrics(self, states: Mapping[str, Any]) -> None:
        """Let the metrics, and what stateful layers carry, have the values of a program."""
        carried = set(self.model.all_carried_variables())
        names = {v: name for name, v in self.model.named_weights().items() if v in carried}
        for variable, name in {**self.cache.metric_names, **names}.items():
            if name in states:
                variable.assign(states[name])
