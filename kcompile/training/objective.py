"""What is minimized and measured: losses and metrics of each output, and their graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import kcompile.ops as ops
from kcompile import losses, metrics
from kcompile.ir.errors import DataError, KCompileError, SpecError
from kcompile.ir.ops import DimSize
from kcompile.ir.types import DType
from kcompile.ops.structure import leaves
from kcompile.ops.trace import Trace, emit, unused_name

LOSS = "loss"


@dataclass(frozen=True)
class Settings:
    """The arguments of `compile` that say what is minimized and measured, as they were given."""

    loss: Any = None
    loss_weights: Any = None
    metrics: Any = None
    weighted_metrics: Any = None
    mean: Any = field(default_factory=lambda: metrics.Mean(name=LOSS), compare=False)

    def require_known_names(self) -> None:
        """Check what is given by name; what depends on shapes is found with the first data.

        Raises:
            SpecError: there is no such loss or metric.
        """
        # Any shapes do: a name that depends on them is known for all.
        shape = (None, 1)
        for entry in _named(self.loss):
            losses.resolve(entry, shape, shape)
        for entry in (*_named(self.metrics), *_named(self.weighted_metrics)):
            metrics.resolve(entry, None, shape, shape)


@dataclass(frozen=True)
class NamedMetric:
    """A metric and its name in logs."""

    name: str
    metric: Any
    weighted: bool


@dataclass(frozen=True)
class OutputObjective:
    """Loss and metrics of one output.

    Attributes:
        output: its name.
        loss: None if it has none.
        weight: what its loss is multiplied by in the sum; None leaves it as it is.
        mean: running mean of its loss, where there are several.
        metrics: what is measured.
    """

    output: str
    loss: Any
    weight: float | None
    mean: Any
    metrics: tuple[NamedMetric, ...]

    @property
    def needs_target(self) -> bool:
        return self.loss is not None or bool(self.metrics)


class Objective:
    """Losses and metrics of all outputs.

    Args:
        settings: what `compile` was given.
        output_names: names of the model's outputs.
        targets: shape of each target, by output name.
        predictions: shape of each output.
        own: metrics that the model keeps itself.

    Raises:
        SpecError: a loss or metric is for no output, or there is nothing to minimize.
    """

    def __init__(
        self,
        settings: Settings,
        output_names: Sequence[str],
        targets: Mapping[str, tuple[int, ...]],
        predictions: Mapping[str, tuple[int | None, ...]],
        own: Sequence[Any] = (),
    ) -> None:
        names = list(output_names)
        self.settings = settings
        self.mean = settings.mean
        self.own = tuple(own)
        loss_of = _per_output(settings.loss, names, "loss", spread=True)
        weight_of = _per_output(settings.loss_weights, names, "loss_weights")
        plain = _metric_lists(settings.metrics, names, "metrics")
        weighted = _metric_lists(settings.weighted_metrics, names, "weighted_metrics")
        several = sum(loss_of[name] is not None for name in names) > 1
        taken: set[str] = {LOSS}
        self.outputs: list[OutputObjective] = []
        resolved: dict[str, list[tuple[str, Any, bool]]] = {name: [] for name in names}
        found = {
            name: _loss(name, loss_of[name], targets.get(name), predictions[name]) for name in names
        }
        for is_weighted, lists in ((False, plain), (True, weighted)):
            for name in names:
                for identifier in lists[name]:
                    if name not in targets:
                        raise DataError(f"output '{name}' has a metric and no target", where="y")
                    metric = metrics.resolve(
                        identifier, found[name], targets[name], predictions[name]
                    )
                    prefix = f"{name}_" if len(names) > 1 else ""
                    key = f"{prefix}{metric.name}"
                    if key in taken and is_weighted:
                        key = f"{prefix}weighted_{metric.name}"
                    key = unused_name(key, taken)
                    taken.add(key)
                    resolved[name].append((key, metric, is_weighted))
        for name in names:
            mean = metrics.Mean(name=f"{name}_loss") if several and found[name] else None
            entries = tuple(NamedMetric(*entry) for entry in resolved[name])
            self.outputs.append(OutputObjective(name, found[name], weight_of[name], mean, entries))

    def named(self) -> list[tuple[str, Any]]:
        """Every metric by its name in logs, in the order of `evaluate`'s list.

        The loss, the metrics of a single output, the losses of several, their metrics by name.
        """
        own = [(metric.name, metric) for metric in self.own]
        entries = [(m.name, m.metric) for output in self.outputs for m in output.metrics]
        means = [(f"{o.output}_loss", o.mean) for o in self.outputs if o.mean is not None]
        if len(self.outputs) > 1:
            entries = sorted(entries, key=lambda entry: entry[0])
            return [(LOSS, self.mean), *means, *entries, *own]
        return [(LOSS, self.mean), *entries, *means, *own]

    def variable_names(self, taken: set[str]) -> dict[Any, str]:
        """A name for each metric's variable, none of which is in `taken`."""
        names: dict[Any, str] = {}
        used = set(taken)
        for key, metric in self.named():
            for variable in metric.variables:
                name = unused_name(f"metrics/{key}/{variable.name}", used)
                used.add(name)
                names[variable] = name
        return names

    def loss(
        self,
        predictions: Mapping[str, Any],
        targets: Mapping[str, Any],
        weights: Mapping[str, Any],
        added: Sequence[Any],
    ) -> Any:
        """The loss to minimize, inside a trace.

        Args:
            predictions, targets, weights: tensors by output name.
            added: what `add_loss` and regularizers add.

        Raises:
            SpecError: there is none.
        """
        terms = [
            term
            for output in self.outputs
            for term in _located(output, self._term, predictions, targets, weights)
        ]
        terms += [ops.cast(term, "float32") for term in added]
        if not terms:
            raise SpecError(
                "there is no loss to minimize", where="compile", hint="Give compile a loss"
            )
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _term(self, output: OutputObjective, y_pred: Any, y_true: Any, weight: Any) -> list[Any]:
        if output.loss is None:
            return []
        value = output.loss(y_true, y_pred, sample_weight=weight)
        if output.mean is not None:
            rows = emit(DimSize(y_pred.type.shape[0], DType.FLOAT32))
            output.mean.update_state(value, sample_weight=rows)
        return [value if output.weight is None else value * output.weight]

    def measure(
        self,
        predictions: Mapping[str, Any],
        targets: Mapping[str, Any],
        weights: Mapping[str, Any],
    ) -> None:
        """Update the metrics of the outputs."""
        for output in self.outputs:
            _located(output, self._measure, predictions, targets, weights)

    def _measure(self, output: OutputObjective, y_pred: Any, y_true: Any, weight: Any) -> list[Any]:
        for entry in output.metrics:
            given = {"sample_weight": weight} if entry.weighted and weight is not None else {}
            entry.metric.update_state(y_true, y_pred, **given)
        return []


def _located(
    output: OutputObjective,
    function: Callable[[OutputObjective, Any, Any, Any], list[Any]],
    predictions: Mapping[str, Any],
    targets: Mapping[str, Any],
    weights: Mapping[str, Any],
) -> list[Any]:
    """What a function gives for an output; errors name it. Nothing if it needs no target."""
    if not output.needs_target:
        return []
    name = output.output
    try:
        return function(output, predictions[name], targets[name], weights.get(name))
    except KCompileError as error:
        raise error.located(f"target of output '{name}'") from None


def trace_results(objective: Objective, names: Mapping[Any, str]) -> Any:
    """The graph from the states of the metrics that have names to the logs."""
    trace = Trace("results", names=names)
    with trace.active():
        results = [
            (key, trace.convert(metric.result()))
            for key, metric in objective.named()
            if all(variable in names for variable in metric.variables)
        ]
    return trace.finish(results)


def _per_output(given: Any, names: list[str], what: str, spread: bool = False) -> dict[str, Any]:
    """The entry of each output: from a dict by name, a list in order, or one for all."""
    if isinstance(given, Mapping) and "class_name" not in given:
        unknown = [name for name in given if name not in names]
        if unknown:
            raise SpecError(
                f"there is no output '{unknown[0]}'",
                where=what,
                hint=f"The outputs are {', '.join(names)}",
            )
        return {name: given.get(name) for name in names}
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise SpecError(
                f"needs one for each of the {len(names)} outputs, got {len(given)}", where=what
            )
        return dict(zip(names, given, strict=True))
    if given is not None and len(names) > 1 and not spread:
        raise SpecError(f"needs one for each of the {len(names)} outputs", where=what)
    return dict.fromkeys(names, given)


def _metric_lists(given: Any, names: list[str], what: str) -> dict[str, list[Any]]:
    """The metrics of each output, as lists."""
    if given is not None and not isinstance(given, (list, tuple, Mapping)):
        raise SpecError(f"needs a list or a dict, got {given!r}", where=what)
    if len(names) == 1 and given is not None:
        if isinstance(given, Mapping):
            _per_output(given, names, what)
        return {names[0]: list(leaves(given))}
    if not given:
        return {name: [] for name in names}
    entries = _per_output(given, names, what)
    return {name: [m for m in leaves([entries[name]]) if m is not None] for name in names}


def _named(given: Any) -> Iterator[str]:
    """The names in an argument of `compile`; configs have none."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, (list, tuple)):
        for entry in given:
            yield from _named(entry)
    elif isinstance(given, Mapping) and "class_name" not in given:
        yield from _named(list(given.values()))


def _loss(output: str, identifier: Any, target: Any, prediction: tuple[int | None, ...]) -> Any:
    """The loss of an output; 'crossentropy' is the one that fits the target's shape."""
    if identifier is None:
        return None
    if target is None:
        raise DataError(f"output '{output}' has a loss and no target", where="y")
    return losses.resolve(identifier, target, prediction)
