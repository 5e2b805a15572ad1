"""From a training graph to what the model computes afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Node, Update, Value
from kcompile.ir.ops import (
    BatchNorm,
    BatchNormTraining,
    CustomGradient,
    Dropout,
    RandomUniform,
    StopGradient,
)
from kcompile.ir.ops.control import all_nodes
from kcompile.passes.journal import record_change
from kcompile.passes.prune_sub_graphs import rewrite_sub_graphs
from kcompile.passes.rebuild import Operands, Rebuild, rebuild


@dataclass(frozen=True)
class _MovingStatistics:
    """Names of the states that hold the moving mean and variance of a batch normalization."""

    mean: str
    variance: str


def to_inference(graph: Graph) -> Graph:
    """`graph` as it is used after training.

    `batch_norm_training(x) = batch_norm(x, moving mean, moving variance)`, `dropout(x) = x`,
    `stop_gradient(x) = x`, and no updates. Ops that are `forced` stay. Loops and branches do so
    inside.

    Raises:
        SpecError: a batch normalization whose moving statistics cannot be told: exactly one
            update of a state must depend on its mean, and one on its variance. Or random numbers
            that a layer draws in training, whose use cannot be told.
    """
    statistics = _find_statistics(graph)
    states: dict[str, Value] = {entry.name: entry.value for entry in graph.inputs}

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        match node.op:
            case StopGradient():
                record_change("drop_stop_gradient")
                assert operands[0] is not None
                return (operands[0],)
            case Dropout(forced=False):
                record_change("drop_dropout")
                assert operands[0] is not None
                return (operands[0],)
            case RandomUniform(forced=False):
                raise SpecError(
                    "what these random numbers are for in training cannot be told",
                    where=f"layer '{node.source}'" if node.source else f"%{node.outputs[0].name}",
                    hint="Trace the model with training=False",
                )
            case BatchNormTraining(axis, epsilon, forced=False):
                found = statistics[node.outputs[0].name]
                moving = (states[found.mean], states[found.variance])
                op = BatchNorm(axis, epsilon)
                record_change("freeze_batch_norm")
                (y,) = new.emit(op, operands[0], *moving, *operands[1:], source=node.source)
                # Whoever else reads the batch's statistics still gets them.
                forced = BatchNormTraining(axis, epsilon, forced=True)
                return (y, *new.keep(node, operands, forced)[1:])
            case CustomGradient(body=body):
                record_change("inline_custom_gradient")
                return _inline(body, node, operands, new)
        return rewrite_sub_graphs(node, operands, new, to_inference)

    return rebuild(graph, transform, keep_updates=False)


def is_for_inference(graph: Graph) -> bool:
    """Whether `graph` already computes what it does after `to_inference`."""
    training = (BatchNormTraining, Dropout, RandomUniform)
    return not any(
        isinstance(node.op, training) and not node.op.forced for node in all_nodes(graph)
    )


def _inline(body: Graph, node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...]:
    """The results of a sub-graph, whose nodes come to stand in the graph itself."""
    values = {entry.name: x for entry, x in zip(body.inputs, operands, strict=True)}
    for inner in to_inference(body).nodes:
        given = (None if value is None else values[value.name] for value in inner.inputs)
        results = new.emit(inner.op, *given, source=node.source)
        values.update(zip((value.name for value in inner.outputs), results, strict=True))
    made = [values[output.value.name] for output in body.outputs]
    return tuple(value for value in made if value is not None)


def _find_statistics(graph: Graph) -> dict[str, _MovingStatistics]:
    """The states of each batch normalization that is not forced, by the name of its y."""
    norms = [
        node
        for node in graph.nodes
        if isinstance(node.op, BatchNormTraining) and not node.op.forced
    ]
    if not norms:
        return {}
    types = {value.type for node in norms for value in node.outputs[1:]}
    readers: dict[str, list[str]] = {}
    for update in graph.updates:
        if update.state.type in types:
            for name in _statistics_in(graph, update):
                readers.setdefault(name, []).append(update.state.name)
    return {
        node.outputs[0].name: _MovingStatistics(
            _only_state(readers, node, 1, "mean"), _only_state(readers, node, 2, "variance")
        )
        for node in norms
    }


def _statistics_in(graph: Graph, update: Update) -> Iterator[str]:
    """Names of the results of batch normalizations that the update is computed from.

    Looks no further back than batch normalizations, so not into the layers before them.
    """
    seen: set[str] = set()
    pending = [update.value]
    while pending:
        value = pending.pop()
        node = graph.producers.get(value.name)
        if node is None or value.name in seen:
            continue
        seen.add(value.name)
        if isinstance(node.op, BatchNormTraining):
            yield value.name
        else:
            pending.extend(operand for operand in node.inputs if operand is not None)


def _only_state(readers: dict[str, list[str]], node: Node, position: int, what: str) -> str:
    value = node.outputs[position]
    states = readers.get(value.name, [])
    if len(states) != 1:
        found = "none" if not states else " and ".join(f"%{name}" for name in states)
        raise SpecError(
            f"the moving {what} is the state whose update depends on %{value.name}, found {found}",
            where=f"layer '{node.source}'" if node.source else f"%{node.outputs[0].name}",
            hint="Update one state from it, or mark the op as forced",
        )
    return states[0]
