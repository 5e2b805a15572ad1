"""Compiling for data to come: the programs that fit, evaluate and predict are going to need."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, SpecError
from kcompile.ops.structure import map_leaves
from kcompile.training import arguments, programs, streams
from kcompile.training.blocks import Layout
from kcompile.training.given import Given, given_for_validation
from kcompile.training.preparation import prepare_inputs

METHODS = ("fit", "evaluate", "predict")


def warm_up(
    engine: Any,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    *,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    validation_batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    methods: Sequence[str] = ("fit",),
) -> None:
    """Compile what a call with data of such shapes and types would compile.

    In the place of each array may stand anything with `shape` and `dtype`, the number of rows
    included, such as `jax.ShapeDtypeStruct((60000, 784), "float32")`. No step is taken: weights,
    metrics, random numbers and the optimizer's state are as before.

    Args:
        x, y, batch_size, sample_weight, class_weight, validation_split, validation_data,
            validation_batch_size, steps_per_epoch, validation_steps: as the call will have them;
            steps_per_epoch stands for the `steps` of evaluate and predict, too.
        methods: which of `fit`, `evaluate` and `predict` will be called with x.

    Raises:
        DataError: the shapes and types do not fit, or the data are no arrays in memory.
        SpecError: there is no such method, or an argument is out of range.
        TrainingError: the model has not been compiled, which fit and evaluate need.
        NotImplementedError: the model has steps of its own.
    """
    arguments.require_counts(
        "warmup",
        batch_size=batch_size,
        validation_batch_size=validation_batch_size,
        steps_per_epoch=steps_per_epoch,
        validation_steps=validation_steps,
    )
    unknown = [name for name in methods if name not in METHODS]
    if isinstance(methods, str) or unknown:
        raise SpecError(
            f"methods is a list of {', '.join(METHODS)}, not {methods!r}", where="warmup"
        )
    x, y, sample_weight = (_placeholders(part) for part in (x, y, sample_weight))
    given = Given("warmup", x, y, sample_weight, class_weight, batch_size, steps_per_epoch)
    options = (validation_batch_size or batch_size, validation_steps)
    lowered: list[Any] = []
    if "fit" in methods:
        held_out = None
        training = given
        if validation_data is not None:
            held_out = given_for_validation(_placeholders(validation_data), *options)
        elif validation_split:
            _require_arrays(given)
            training, held_out = engine.split(given, validation_split, *options)
        lowered += _steps(engine, training, training=True)
        if held_out is not None:
            lowered += _steps(engine, held_out, training=False)
    if "evaluate" in methods:
        evaluated = dataclasses.replace(given, class_weight=None)
        lowered += _steps(engine, evaluated, training=False)
    if "predict" in methods:
        lowered += _predictions(engine, given)
    with ThreadPoolExecutor() as pool:  # XLA lets other threads run while it compiles
        for done in [pool.submit(entry.compile) for entry in lowered]:
            done.result()


def _steps(engine: Any, given: Given, training: bool) -> Iterator[Any]:
    """The programs of training or evaluation on such data, lowered."""
    engine.require_compiled("warmup")
    _require_arrays(given)
    _require_no_own_step(engine, "train_step" if training else "test_step")
    data, sizes = engine.prepare(given)
    program = engine.program(programs.signature(data, sizes, training))
    arrays = programs.graph_arrays(data)
    layout = Layout.of(arrays, given.batching(data.num_rows, seed=0))
    weights = {name: v.array for name, v in engine.model.named_weights().items()}
    for num_rows, indices in _block_shapes(layout, _limit(given, training)):
        types = {name: _type((num_rows, *a.shape[1:]), a.dtype) for name, a in arrays.items()}
        yield from program.lowered(weights, types, indices)


def _limit(given: Given, training: bool) -> int | None:
    """The number of batches that are taken; None for all. Training goes on where it stopped."""
    return None if training else given.steps


def _block_shapes(layout: Layout, limit: int | None) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Rows and shapes of indices of the blocks that an `ArraySource` gives."""
    batching = layout.batching
    if batching.num_full:
        yield layout.many()
    is_reached = limit is None or limit > batching.num_full
    if batching.num_batches > batching.num_full and is_reached:
        yield layout.one(batching.num_full)


def _predictions(engine: Any, given: Given) -> Iterator[Any]:
    """The programs of `predict` on such data, lowered."""
    _require_arrays(given)
    _require_no_own_step(engine, "predict_step")
    data, _ = prepare_inputs(engine.model, given.x, given.where, for_device=False)
    data.require_rows(given.where)
    engine.cache.follow_model()
    batching = given.batching(data.num_rows, seed=0)
    weights = {name: v.array for name, v in engine.model.named_weights().items()}
    starts = {0: batching.num_full, batching.num_full: batching.num_batches - batching.num_full}
    for first, count in starts.items():
        if not count or (given.steps is not None and first >= given.steps):
            continue
        begin = first * batching.batch_size
        rows = data.rows(slice(begin, begin + batching.batch_size))
        inputs, sizes = prepare_inputs(engine.model, rows.x, given.where)
        predictor = engine.cache.predictor(sizes)
        used = {name: weights[name] for name in predictor.weight_names}
        yield from predictor.lowered(used, inputs.x)


def _require_arrays(given: Given) -> None:
    if streams.is_stream(given.x) or streams.has_file_rows(*given.parts):
        raise DataError(
            "the data come in batches, whose shapes nobody knows yet",
            where=given.where,
            hint="Give arrays, or their shapes and types",
        )


def _require_no_own_step(engine: Any, method: str) -> None:
    if programs.overrides(engine.model, method):
        raise NotImplementedError(
            f"warmup of a model with its own {method} is not there; call it on one batch"
        )


def _placeholders(structure: Any) -> Any:
    """Arrays of zeros, which take no memory, in the place of shapes and types."""
    if not _is_described(structure) and streams.is_stream(structure):
        return structure
    return map_leaves(_placeholder, structure)


def _placeholder(leaf: Any) -> Any:
    if not _is_described(leaf):
        return leaf
    if not all(isinstance(size, Integral) for size in leaf.shape):
        raise DataError(
            f"a shape needs numbers, got {tuple(leaf.shape)}",
            where="warmup",
            hint="Give the number of rows as well",
        )
    if str(leaf.dtype) in ("string", "object"):
        return np.broadcast_to(np.array("", object), leaf.shape)
    return np.broadcast_to(np.zeros((), np.dtype(leaf.dtype)), leaf.shape)


def _is_described(leaf: Any) -> bool:
    """Whether it is a shape and a type, and no array."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype") and not hasattr(leaf, "__array__")


def _type(shape: tuple[int, ...], dtype: Any) -> Any:
    return np.broadcast_to(np.zeros((), dtype), shape)
