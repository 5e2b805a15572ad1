"""Graphs of which the host computes a part, beside whatever runs the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kcompile.ir.graph import Graph
from kcompile.passes.split_host import HostSplit, split_host, to_host
from kcompile.runtimes import reference
from kcompile.runtimes.binding import bind_arrays

Arrays = Mapping[str, Any]
Run = Callable[[Arrays], tuple[Arrays, Arrays]]


def run_before(graph: Graph, arrays: Arrays) -> dict[str, Any]:
    """The values that `HostSplit.before` gives, from the arrays of inputs, by name."""
    inputs = {entry.name: arrays[entry.name] for entry in graph.inputs}
    return reference.run(graph, inputs)[0]


def on_host(graph: Graph, compile_device: Callable[[Graph], Run]) -> Run:
    """What runs `graph`, with its strings on the host and the rest by `compile_device`."""
    split = split_host(graph)
    if split.device is graph:
        return compile_device(graph)
    inputs = () if split.device is None else split.device.inputs
    device = None if split.device is None else compile_device(split.device)

    def function(arrays: Arrays) -> tuple[Arrays, Arrays]:
        values = dict(bind_arrays(graph, arrays)[0])
        if split.before is not None:
            values |= run_before(split.before, values)
        given = {entry.name: values[entry.name] for entry in inputs}
        outputs, states = ({}, {}) if device is None else device(given)
        return _all_outputs(graph, split, values, outputs), states

    return function


def _all_outputs(graph: Graph, split: HostSplit, values: Arrays, outputs: Arrays) -> dict[str, Any]:
    """The outputs of `graph` in order, from inputs and `before`'s values, and the device's."""
    results = dict(outputs)
    if split.after is not None:
        late = {
            entry.name: outputs.get(to_host(entry.name), values.get(entry.name))
            for entry in split.after.inputs
        }
        results |= reference.run(split.after, late)[0]
    return {output.name: results[output.name] for output in graph.outputs}
