"""From a model and its objective to the programs that train, evaluate and predict."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Output, Role
from kcompile.ir.ops import DimSize
from kcompile.ir.types import DType, TensorType
from kcompile.metrics import Metric
from kcompile.models.steps import OwnSteps
from kcompile.models.tracing import names_of, trace_outputs
from kcompile.ops.structure import pack_like
from kcompile.ops.trace import Trace, emit, with_equal_sizes
from kcompile.passes import pipelines
from kcompile.training.data import DataSet
from kcompile.training.host_stage import device_graph, layers_of
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
    trainable: tuple[str, ...] = ()


def graph_arrays(data: DataSet) -> dict[str, Any]:
    """The arrays by the names of the step's graph."""
    return {
        **data.x,
        **{f"{TARGET}/{name}": array for name, array in data.y.items()},
        **{f"{WEIGHT}/{name}": array for name, array in data.sample_weight.items()},
    }


def signature(data: DataSet, sizes: Mapping[str, int], training: bool) -> Signature:
    """The signature of a step on `data`, without the names of what is trained."""
    extra = [(n, a) for n, a in graph_arrays(data).items() if n not in data.x]
    arrays = tuple((name, DType.of(a.dtype), a.shape[1:]) for name, a in extra)
    return Signature(training, arrays, tuple(sorted(sizes.items())))


def make_objective(model: Any, settings: Settings, data: DataSet) -> Objective:
    """Losses and metrics for targets like those in `data`."""
    predictions = output_shapes(model)
    targets = {name: array.shape for name, array in data.y.items()}
    return Objective(settings, list(predictions), targets, predictions, own_metrics(model))


def own_metrics(model: Any) -> list[Any]:
    """The metrics that the model and its layers keep in attributes."""
    kept = [leaf for layer in layers_of(model) for leaf in layer._attributes()]
    return list(dict.fromkeys(leaf for leaf in kept if isinstance(leaf, Metric)))


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
        with trace.active():
            if overrides(model, "compute_loss"):
                loss = _own_loss(model, trace, equal, key, outputs, given)
            else:
                loss = objective.loss(outputs, given[TARGET], given[WEIGHT], model.losses)
            objective.mean.update_state(loss, sample_weight=emit(DimSize(batch, DType.FLOAT32)))
            objective.measure(outputs, given[TARGET], given[WEIGHT])
        return trace.finish([(LOSS, loss)])

    graph = device_graph(with_equal_sizes(build))
    return pipelines.run_pipeline(graph, pipelines.TRAINING).graph


def overrides(model: Any, method: str) -> bool:
    """Whether the model's class has a method of its own, of those in `OwnSteps`."""
    return getattr(type(model), method) is not getattr(OwnSteps, method)


def _own_loss(
    model: Any,
    trace: Trace,
    equal: Mapping[str, Size],
    key: Signature,
    outputs: Mapping[str, Any],
    given: Mapping[str, Mapping[str, Any]],
) -> Any:
    """What the model's own `compute_loss` gives, a scalar."""
    sizes = {**dict(key.sizes), **equal}
    inputs = [trace.input(name, type.substitute(sizes)) for name, type in model.input_types()]
    functional = getattr(model, "functional", model)
    structure = functional.output_structure
    y, weight = (_packed(structure, outputs, given[kind]) for kind in (TARGET, WEIGHT))
    loss = trace.convert(
        model.compute_loss(
            pack_like(functional.input_structure, inputs),
            y,
            pack_like(structure, list(outputs.values())),
            weight,
            training=key.training,
        )
    )
    if loss.type.rank:
        raise SpecError(
            f"compute_loss must return a scalar, got {loss.type}",
            where=f"model '{model.name}'",
            hint="Take the mean",
        )
    return loss


def _packed(structure: Any, outputs: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Tensors by output name in the structure of the outputs; None if there are none."""
    if not given:
        return None
    return pack_like(structure, [given.get(name) for name in outputs])


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
    remat: Any = None,
) -> Any:
    """The program of one step's graph."""
    from kcompile.runtimes.jax.training import Program

    graph = step_graph(model, objective, key, metric_names)
    updated = {update.state.name for update in graph.updates}
    used = {v: name for v, name in metric_names.items() if name in updated}
    initial = initial_metrics(objective, used)
    results = trace_results(objective, used)
    if not key.training:
        return Program(graph, results, initial)
    constraints = constraint_graph(model, graph)
    return Program(graph, results, initial, transformation, constraints, remat)


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
    from kcompile.runtimes.jax.predictor import Predictor

    def build(equal: dict[str, Size]) -> Graph:
        trace = Trace(model.name, names=names_of(model))
        return trace.finish(trace_outputs(model, trace, {**sizes, **equal}))

    graph, carried = _returning_states(model, device_graph(with_equal_sizes(build)))
    return Predictor(pipelines.run_pipeline(graph, pipelines.INFERENCE).graph, carried)


def _returning_states(model: Any, graph: Graph) -> tuple[Graph, list[str]]:
    """`graph` with the next states of stateful layers as its last outputs; and their names."""
    names = names_of(model)
    carried = {names[variable] for variable in model.all_carried_variables()}
    updates = [update for update in graph.updates if update.state.name in carried]
    outputs = (Output(f"next {update.state.name}", update.value) for update in updates)
    graph = Graph(graph.name, graph.inputs, graph.nodes, (*graph.outputs, *outputs), graph.updates)
    return graph, [update.state.name for update in updates]


class TrainableFlags:
    """Which layers and weights were trainable at one moment."""

    def __init__(self, model: Any) -> None:
        self._layers = {layer: layer._trainable for layer in layers_of(model)}
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
