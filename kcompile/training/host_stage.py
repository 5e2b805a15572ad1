"""What the host computes of a model's inputs before a program gets them: strings, hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kcompile.ir.errors import ExportError
from kcompile.ir.graph import Graph
from kcompile.ir.types import DType
from kcompile.passes.split_host import split_host
from kcompile.runtimes import hosted

Arrays = dict[str, np.ndarray[Any, Any]]


class HostStage:
    """The part before the device, of one model as it is now.

    Args:
        model: a built model.
    """

    def __init__(self, model: Any) -> None:
        self._before: Graph | None = None
        has_strings = any(type.dtype is DType.STRING for _, type in model.input_types())
        if has_strings or any(getattr(layer, "uses_host", False) for layer in layers_of(model)):
            split = split_host(model.graph(training=False))
            self._before = split.before
            self._names = [entry.name for entry in split.device.inputs] if split.device else []

    def run(self, arrays: Arrays) -> Arrays:
        """The device's inputs, from those of the model.

        Raises:
            DataError: a string is not in a vocabulary that has no index for others.
        """
        if self._before is None:
            return arrays
        values = {**arrays, **hosted.run_before(self._before, arrays)}
        return {name: values[name] for name in self._names if name in values}


def device_graph(graph: Graph) -> Graph:
    """The part of a step's graph that the device runs.

    Raises:
        ExportError: an output of the model is computed from numbers on the host.
    """
    split = split_host(graph)
    if split.after is not None or split.device is None:
        value = graph.outputs[0].value if split.after is None else split.after.outputs[0].value
        raise ExportError(
            f"the output {value} is computed on the host from results of the device",
            where=f"graph '{graph.name}'",
            hint="Leave that layer to a model around this one, and train and predict without it",
        )
    return split.device


def run_host_stage(model: Any, arrays: Arrays) -> Arrays:
    """The device's inputs for those of a model, or of what has its stage."""
    stage = getattr(model, "host_stage", None) or _stage_of(model)
    return stage.run(arrays)


def _stage_of(model: Any) -> HostStage:
    """The stage of a model, which keeps it until layers or vocabularies change."""
    structure = structure_of(model)
    known, stage = getattr(model, "_host_stage", (None, None))
    if stage is None or known != structure:
        stage = HostStage(model)
        model._host_stage = structure, stage
    return stage


def structure_of(model: Any) -> tuple[Any, ...]:
    """What changes when layers are added to a model or taken off, at any depth.

    A Sequential makes another functional model whenever its layers change. A vocabulary is a part
    of the programs.
    """
    changing = ("_functional", "vocabulary_state")
    return tuple((x, *(getattr(x, key, None) for key in changing)) for x in layers_of(model))


def layers_of(layer: Any) -> Iterator[Any]:
    """The layer and those inside, at any depth."""
    yield layer
    for inner in layer._sublayers:
        yield from layers_of(inner)
