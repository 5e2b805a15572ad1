"""`model.memory_report()`: what training is going to need, before anything is compiled or run."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.dims import Dim
from kcompile.ir.errors import DataError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.types import TensorType
from kcompile.training.engine import Engine
from kcompile.utils.inspection import layer_table
from kcompile.utils.units import format_bytes

#: The most layers that the text lists.
MAX_LAYERS = 10


@dataclass(frozen=True)
class MemoryReport:
    """Bytes that a training step needs.

    Attributes:
        batch_size: rows of a step.
        parameters: the weights, those that are not trained included.
        gradients: of the weights that are trained.
        optimizer: the optimizer's state.
        activations: what the forward pass keeps for the backward pass and, with `remat`, what is
            made again at a time.
        inputs: one batch of inputs; the data set itself comes on top.
        layers: what the results of each layer take in a forward pass, the largest first.
    """

    batch_size: int
    parameters: int
    gradients: int
    optimizer: int
    activations: int
    inputs: int
    layers: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """All of it together: the peak comes near it, on top of what the process itself needs."""
        parts = (self.parameters, self.gradients, self.optimizer, self.activations, self.inputs)
        return sum(parts)

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        table = Table("", "bytes", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for name in ("parameters", "gradients", "optimizer", "activations", "inputs", "total"):
            table.add_row(name, format_bytes(getattr(self, name)))
        table.add_section()
        for name, size in self.layers[:MAX_LAYERS]:
            table.add_row(f"  {name}", format_bytes(size))
        text = io.StringIO()
        console = Console(file=text, width=100, color_system=None)
        console.print(f"Training with batches of {self.batch_size}, estimated", highlight=False)
        console.print(table, highlight=False)
        return text.getvalue().rstrip()


def memory_report(
    engine: Engine, batch_size: int = 32, sizes: Mapping[str, int] | None = None
) -> MemoryReport:
    """An estimate for the model as it was compiled.

    It is told from the types of the training graph. The loss and metrics are left out; they see
    the outputs alone. XLA's own working space, as for a convolution, comes on top.

    Args:
        batch_size: rows of a step.
        sizes: numbers for other symbolic sizes of the inputs, such as `{"time": 128}`.

    Raises:
        TrainingError: the model has not been compiled.
        DataError: a symbolic size has no number.
    """
    from kcompile.runtimes.jax.memory import saved_bytes, slots_bytes

    engine.require_compiled("memory_report")
    with engine.flags_in_force():
        graph = engine.model.graph(training=True)
        transformation = engine.optimizer.transformation(
            {v: n for n, v in engine.model.named_weights().items() if v.trainable}
        )
    graph = graph.bind(_numbers(engine.model, graph, batch_size, dict(sizes or {})))
    data = {entry.name: _placeholder(entry.type) for entry in graph.inputs_with(Role.DATA)}
    params = {entry.name: _placeholder(entry.type) for entry in graph.inputs_with(Role.PARAM)}
    states = {entry.name: _placeholder(entry.type) for entry in graph.inputs_with(Role.STATE)}
    rows = {row.name: row.output_bytes for row in layer_table(graph)}
    return MemoryReport(
        batch_size,
        _size(params) + _size(states),
        _size(params),
        slots_bytes(transformation, params),
        saved_bytes(graph, params, {**states, **data}, engine.remat),
        _size(data),
        tuple(sorted(rows.items(), key=lambda row: -row[1])),
    )


def _numbers(model: Any, graph: Graph, batch_size: int, sizes: dict[str, int]) -> dict[str, int]:
    _, first = model.input_types()[0]
    batch = first.shape[0] if first.rank else None
    env = dict(sizes)
    if isinstance(batch, Dim):
        env[str(batch)] = batch_size
    open_sizes = {str(size) for entry in graph.inputs for size in entry.type.shape}
    missing = sorted(
        name for name in open_sizes if not name.lstrip("-").isdigit() and name not in env
    )
    if missing:
        raise DataError(
            f"the size '{missing[0]}' has no number",
            where="memory_report",
            hint=f"Pass sizes={{'{missing[0]}': ...}}",
        )
    return env


def _placeholder(type: TensorType) -> Any:
    """An array of that type, which takes no memory."""
    return np.broadcast_to(np.zeros((), type.dtype.numpy), [int(size) for size in type.shape])


def _size(arrays: Mapping[str, Any]) -> int:
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values())
