"""From a model and its objective to the programs that train, evaluate and predict."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.types import DType, TensorType
from kcompile.models.tracing import names_of, trace_outputs
from kcompile.ops.trace import Trace, with_equal_sizes
from kcompile.passes import pipelines
from kcompile.training.data import DataSet
from kcompile.training.objective import LOSS, Objective, Settings, trace_results

TARGET = "targets"
WEIGHT = "sample_weights"


@dataclass(frozen=True)
class Signature:
    """What a program depends on besides the model.

    Attributes:
        training: whether it trains or evaluates.
        arrays: name, element type and row shape of each target and weight.
        sizes: numbers of the symbolic sizes, the batch's left out.
        trainable: names of the weights that are trained.
    """

    training: bool
    arrays: tuple[tuple[str, DType, tuple[int, ...]], ...]
    sizes: tuple[tuple[str, int], ...]
    trainable: tuple[str, ...]


def graph_arrays(data: DataSet) -> dict[str, Any]:
    """The arrays by the names of the step's graph."""
    return {
        **data.x,
        **{f"{TARGET}/{name}": array for name, array in data.y.items()},
        **{f"{WEIGHT}/{name}": array for name, array in data.sample_weight.items()},
    }


def signature(
    data: DataSet, sizes: Mapping[str, int], training: bool, trainable: tuple[str, ...]
) -> Signature:
    """The signature of a step on `data`."""
    extra = [(n, a) for n, a in graph_arrays(data).items() if n not in data.x]
    arrays = tuple((name, DType.of(a.dtype), a.shape[1:]) for name, a in extra)
    return Signature(training, arrays, tuple(sorted(sizes.items())), trainable)


def make_objective(model: Any, settings: Settings, data: DataSet) -> Objective:
    """Losses and metrics for targets like those in `data`."""
    predictions = output_shapes(model)
    targets = {name: array.shape for name, array in data.y.items()}
    return Objective(settings, list(predictions), targets, predictions)


def output_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """The shape of each output by name, None for sizes that are not numbers."""
    return {
        name: tuple(None if isinstance(size, Dim) else size for size in type.shape)
        for name, type in model.output_types()
    }


def step_graph(
    model: Any, objective: Objective, key: Signature, metric_names: Mapping[Any, str]
) -> Graph:
    """One step: the loss of a batch, and the next statistics and metrics."""

    def build(equal: dict[str, Size]) -> Graph:
        names = {**names_of(model), **metric_names}
        trace = Trace(model.name, training=key.training, names=names)
        outputs = dict(trace_outputs(model, trace, {**dict(key.sizes), **equal}))
        batch = trace_batch(model, equal)
        given: dict[str, dict[str, Any]] = {TARGET: {}, WEIGHT: {}}
        for name, dtype, shape in key.arrays:
            kind, output = name.split("/", 1)
            given[kind][output] = trace.input(name, TensorType(dtype, (batch, *shape)))
        regularized = [v for v in model.trainable_weights if v.regularizer is not None]
        loss = objective.trace(trace, outputs, given[TARGET], given[WEIGHT], regularized, batch)
        return trace.finish([(LOSS, loss)])

    graph = with_equal_sizes(build)
    return pipelines.run_pipeline(graph, pipelines.TRAINING).graph


def trace_batch(model: Any, equal: Mapping[str, Size]) -> Size:
    """The number of rows, as the model's first input has it."""
    _, type = model.input_types()[0]
    if type.rank == 0:
        raise SpecError("an input without a batch axis cannot be trained on")
    return type.substitute(equal).shape[0]


def make_program(
    model: Any,
    objective: Objective,
    key: Signature,
    metric_names: Mapping[Any, str],
    transformation: Any,
) -> Any:
    """The program of one step's graph."""
    from kcompile.runtimes.jax.training import Program

    graph = step_graph(model, objective, key, metric_names)
    initial = initial_metrics(objective, metric_names)
    results = trace_results(objective, metric_names)
    if not key.training:
        return Program(graph, results, initial)
    return Program(graph, results, initial, transformation, constraint_graph(model, graph))


def constraint_graph(model: Any, step: Graph) -> Graph | None:
    """From the weights that a step trains to those with a constraint, by the weight's name."""
    trained = {entry.name for entry in step.inputs_with(Role.PARAM)}
    names = names_of(model)
    trace = Trace("constraints", names=names)
    with trace.active():
        constrained = [
            (name, _constrained(trace, variable, name))
            for variable, name in names.items()
            if name in trained and variable.constraint is not None
        ]
    return trace.finish(constrained) if constrained else None


def _constrained(trace: Trace, variable: Any, name: str) -> Any:
    tensor = trace.convert(variable.constraint(variable.value), variable.type.dtype)
    if tensor.type != variable.type:
        raise SpecError(
            f"the constraint makes {tensor.type} of {variable.type}",
            where=f"weight '{name}'",
            hint="A constraint keeps the weight's shape",
        )
    return tensor


def initial_metrics(objective: Objective, metric_names: Mapping[Any, str]) -> dict[str, Any]:
    """The values that the metrics' variables start with."""
    for _, metric in objective.named():
        metric.reset_state()
    return {name: variable.array for variable, name in metric_names.items()}


def make_predictor(model: Any, sizes: Mapping[str, int]) -> Any:
    """The program of the model at inference."""
    from kcompile.runtimes.jax.training import Predictor

    def build(equal: dict[str, Size]) -> Graph:
        trace = Trace(model.name, names=names_of(model))
        return trace.finish(trace_outputs(model, trace, {**sizes, **equal}))

    graph = with_equal_sizes(build)
    return Predictor(pipelines.run_pipeline(graph, pipelines.INFERENCE).graph)


def structure_of(model: Any) -> tuple[Any, ...]:
    """What changes when layers are added to a model or taken off, at any depth.

    A Sequential makes another functional model whenever its layers change.
    """
    return tuple((layer, getattr(layer, "_functional", None)) for layer in _layers(model))


class TrainableFlags:
    """Which layers and weights were trainable at one moment."""

    def __init__(self, model: Any) -> None:
        self._layers = {layer: layer._trainable for layer in _layers(model)}
        self._variables = {variable: variable.trainable for variable in model.weights}

    def differ(self) -> list[str]:
        """Paths of the weights that have changed since."""
        return [v.path for v, flag in self._variables.items() if v.trainable != flag]

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """The flags of that moment hold inside; those of now again afterwards."""
        layers = {layer: layer._trainable for layer in self._layers}
        variables = {variable: variable.trainable for variable in self._variables}
        self._set(self._layers, self._variables)
        try:
            yield
        finally:
            self._set(layers, variables)

    @staticmethod
    def _set(layers: Mapping[Any, bool], variables: Mapping[Any, bool]) -> None:
        for layer, flag in layers.items():
            layer._trainable = flag
        for variable, flag in variables.items():
            variable.trainable = flag


def _layers(layer: Any) -> Iterator[Any]:
    yield layer
    for inner in layer._sublayers:
        yield from _layers(inner)
