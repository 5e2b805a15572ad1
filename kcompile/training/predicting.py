"""Outputs for data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.ops.batches import unpack_x_y_sample_weight
from kcompile.ops.structure import leaves, pack_like
from kcompile.training import programs, streams
from kcompile.training.given import Given
from kcompile.training.loops import OUTSIDE_TRAINING
from kcompile.training.preparation import prepare_inputs
from kcompile.training.reading import Reader
from kcompile.training.stream_sources import StepSource
from kcompile.training.weights import on_device

RunBatch: TypeAlias = Callable[[Any], list[np.ndarray[Any, Any]]]


class Prediction:
    """The outputs for the batches of a source.

    Args:
        source: gives prepared batches.
        start: called once callbacks could change the weights; gives a function of a batch, whose
            results are in the order of the model's outputs.
        structure_of: the structure of the outputs, once there are some.
    """

    def __init__(
        self,
        source: StepSource[Any],
        start: Callable[[], RunBatch],
        structure_of: Callable[[], Any],
    ) -> None:
        self.source = source
        self._start = start
        self._structure_of = structure_of

    def run(self, callbacks: Any) -> Any:
        """The outputs for all rows, in the structure of the model's outputs.

        Raises:
            DataError: there are no data.
        """
        parts: list[list[Any]] = []
        callbacks.on_predict_begin()
        run_batch = self._start()
        self.source.start_pass(0)
        while (batch := self.source.next(None)) is not None:
            callbacks.on_predict_batch_begin(len(parts))
            parts.append(run_batch(batch))
            callbacks.on_predict_batch_end(len(parts) - 1, {"outputs": parts[-1]})
        if not parts:
            raise DataError("there are no batches left", where="predict")
        self.source.end_epoch()
        callbacks.on_predict_end()
        flat = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        return pack_like(self._structure_of(), flat)


def prediction(engine: Any, given: Given) -> Prediction:
    """The outputs of an engine's model for data."""
    if programs.overrides(engine.model, "predict_step"):
        return _by_own_step(engine, given)
    source = _source(engine, given)
    source.first()  # a model without weights makes them here
    engine.cache.follow_model()

    def start() -> RunBatch:
        from kcompile.runtimes.jax import training as xla

        named = engine.model.named_weights()
        weights = on_device(named)

        def run_batch(batch: Any) -> list[Any]:
            data, sizes = batch
            predictor = engine.cache.predictor(sizes)
            used = {name: weights[name] for name in predictor.weight_names}
            number = engine.progress.next_outside()
            seed = engine.seed() + OUTSIDE_TRAINING
            outputs = list(xla.on_host(predictor.run(used, data.x, seed, number)))
            for name in reversed(predictor.carried_names):
                weights[name] = outputs.pop()
                named[name].assign(weights[name])
            return outputs

        return run_batch

    functional = getattr(engine.model, "functional", engine.model)
    return Prediction(source, start, lambda: functional.output_structure)


def _source(engine: Any, given: Given) -> StepSource[Any]:
    """The inputs of the model in batches."""
    stream = engine.stream(given)
    if stream is None:
        data, _ = prepare_inputs(engine.model, given.x, given.where, for_device=False)
        data.require_rows(given.where)
        batching = given.batching(data.num_rows, engine.seed())
        stream = streams.RowStream(data.x, None, None, batching)

    def inputs_of(batch: Any) -> Any:
        x, _, _ = unpack_x_y_sample_weight(batch)
        return prepare_inputs(engine.model, x, given.where)

    return StepSource(Reader(stream, inputs_of, 0), given.steps)


def _by_own_step(engine: Any, given: Given) -> Prediction:
    """The outputs of the model's own `predict_step`."""
    source = engine.step_source(given, training=False)
    step = engine.own_step("predict_step")
    structure: list[Any] = []

    def start() -> RunBatch:
        model = engine.model
        state = tuple(
            [variable.array for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )

        def run_batch(batch: Any) -> list[Any]:
            seed = engine.seed() + OUTSIDE_TRAINING
            outputs, _ = step(state, batch, seed, engine.progress.next_outside())
            structure[:] = [outputs]
            return [np.asarray(leaf) for leaf in leaves(outputs)]

        return run_batch

    return Prediction(source, start, lambda: structure[0])
