"""Ranges of a graph's values, from data that run through it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.ir.graph import Graph, Node, Output, Value
from kcompile.ir.ops import Conv
from kcompile.ir.ops.windows import channel_axis
from kcompile.passes.insert_quantization import Plan
from kcompile.quantization.data import Rows
from kcompile.quantization.observers import Histogram, RangeObserver, affine, require_method

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Calibration:
    """What data showed.

    Attributes:
        ranges: of values, by name.
        means: of each channel of what products read, by the value's name.
    """

    ranges: Mapping[str, tuple[float, float]]
    means: Mapping[str, Array]

    @property
    def parameters(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of each value as u8."""
        return {name: affine(*ends) for name, ends in self.ranges.items()}


def calibrate(graph: Graph, plan: Plan, rows: Rows, method: str = "minmax") -> Calibration:
    """The ranges that a plan needs. Values are looked at batch by batch and not kept.

    Args:
        graph: at inference; onnxruntime runs it.
        plan: says which values.
        rows: the data.
        method: one of `METHODS`; all but "minmax" go through the data twice.

    Raises:
        SpecError: there is no such method.
        DataError: the data do not fit, or a value is not finite.
    """
    require_method(method)
    axes = {node.inputs[0].name: _channels(node) for node in plan.products if node.inputs[0]}
    observers = {name: RangeObserver(axes.get(name)) for name in set(plan.ranges.values())}
    for name in axes.keys() - observers.keys():
        observers[name] = RangeObserver(axes[name])
    names = sorted(observers)
    compute = observe(graph, names)
    for batch in rows.batches():
        for name, array in compute(batch):
            with _placed(name):
                observers[name].update(array)
    ranges = {name: (o.low, o.high) for name, o in observers.items()}
    if method != "minmax":
        histograms = {name: Histogram(*ends) for name, ends in ranges.items()}
        for batch in rows.batches():
            for name, array in compute(batch):
                histograms[name].update(array)
        ranges = {name: histogram.select(method) for name, histogram in histograms.items()}
    means = {name: o.mean for name, o in observers.items()}
    return Calibration(ranges, {name: mean for name, mean in means.items() if mean is not None})


def observe(
    graph: Graph, names: Iterable[str]
) -> Callable[[Mapping[str, Array]], Iterator[tuple[str, Array]]]:
    """A function from inputs to values of the graph with their names; onnxruntime runs it."""
    from kcompile.runtimes.onnx import export_graph
    from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable

    wanted = list(names)
    values = {entry.name: entry.value for entry in graph.inputs}
    values.update((value.name, value) for node in graph.nodes for value in node.outputs)
    observed = with_outputs(graph, {f"value {i}": values[n] for i, n in enumerate(wanted)})
    session = OnnxRuntimeExecutable(export_graph(observed).SerializeToString())

    def compute(batch: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        outputs = session.run(batch)
        for index, name in enumerate(wanted):
            yield name, outputs.pop(f"value {index}")

    return compute


def with_outputs(graph: Graph, outputs: Mapping[str, Value]) -> Graph:
    """The part of a graph that makes some of its values."""
    needed = {value.name for value in outputs.values()}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if needed & {value.name for value in node.outputs}:
            nodes.append(node)
            needed.update(value.name for value in node.inputs if value is not None)
    returned = tuple(Output(name, value) for name, value in outputs.items())
    return Graph(graph.name, graph.inputs, tuple(reversed(nodes)), returned)


def _channels(node: Node) -> int:
    """The axis of what a product reads along which its weights differ."""
    x = node.inputs[0]
    assert x is not None
    if isinstance(node.op, Conv):
        return channel_axis(x.type.rank, node.op.data_format)
    return x.type.rank - 1


@contextlib.contextmanager
def _placed(name: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise error.located(f"calibration: %{name}") from None
