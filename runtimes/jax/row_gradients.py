"""Embedding tables in training: gradients of the rows that a batch looks up, not of the table.

The gradient of a table is zero but in the rows that were looked up. Nothing here makes it: the loss
is differentiated by the rows, and an optimizer that knows what to do with them updates the table.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kcompile.ir.graph import Graph, Input, Node, Output, Role, Value
from kcompile.ir.ops import Gather
from kcompile.ir.types import DType
from kcompile.passes.eliminate_dead_values import eliminate_dead_values
from kcompile.runtimes.jax.lowering import lower

Arrays = Mapping[str, jax.Array]


class RowGradients(NamedTuple):
    """Gradients `[n, D]` of rows of a table, and which rows they are, `[n]`; some may be equal."""

    indices: jax.Array
    gradients: jax.Array


@dataclass(frozen=True)
class Lookup:
    """One reading of rows: names of the table, of the indices and of the rows."""

    table: str
    indices: str
    rows: str


def find_lookups(graph: Graph, excluded: Collection[str], least_size: int) -> list[Lookup]:
    """The readings of those float32 tables that nothing but lookups of rows reads.

    Args:
        graph: of a training step.
        excluded: names of tables that something else needs.
        least_size: tables with fewer elements are left out.
    """
    params = {
        entry.name: entry.type
        for entry in graph.inputs_with(Role.PARAM)
        if entry.name not in excluded and entry.type.dtype is DType.FLOAT32
    }
    lookups = [
        Lookup(node.inputs[0].name, node.inputs[1].name, node.output.name)
        for node in graph.nodes
        if _is_lookup(node) and node.inputs[0] is not None and node.inputs[1] is not None
    ]
    counts = {name: sum(look.table == name for look in lookups) for name in params}
    tables = {
        name
        for name, type in params.items()
        if counts[name] == graph.uses.get(name, 0) > 0
        and math.prod(size for size in type.shape if isinstance(size, int)) >= least_size
    }
    return [look for look in lookups if look.table in tables]


class Lookups:
    """The lookups of a graph, taken out of it.

    Args:
        graph: of a training step.
        lookups: what `find_lookups` gave.

    Attributes:
        tables: names of the tables.
        graph: what is left, which takes the rows as inputs.
    """

    def __init__(self, graph: Graph, lookups: list[Lookup]) -> None:
        self.tables = tuple(dict.fromkeys(look.table for look in lookups))
        self._lookups = lookups
        self.graph = _without(graph, lookups)
        self._indices_graph = _indices_of(graph, lookups)
        self._indices = lower(self._indices_graph)

    def indices(self, arrays: Arrays) -> dict[str, jax.Array]:
        """The indices by the names of the rows, given all inputs of the step."""
        names = [entry.name for entry in self._indices_graph.inputs]
        outputs, _ = self._indices({name: arrays[name] for name in names})
        return outputs

    def rows(self, params: Arrays, indices: Arrays) -> dict[str, jax.Array]:
        """The rows by name. Those at an index outside are NaN, which training reports."""
        return {
            look.rows: jnp.take(params[look.table], indices[look.rows], axis=0, mode="fill")
            for look in self._lookups
        }

    def gradients(self, indices: Arrays, rows: Arrays) -> dict[str, RowGradients]:
        """The gradients by table, given those of the rows."""
        found: dict[str, RowGradients] = {}
        for table in self.tables:
            own = [look.rows for look in self._lookups if look.table == table]
            flat = [rows[name].reshape(indices[name].size, -1) for name in own]
            places = [indices[name].reshape(-1) for name in own]
            found[table] = RowGradients(jnp.concatenate(places), jnp.concatenate(flat))
        return found


def combined(
    given: RowGradients, num_rows: int, good: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Each row's gradients added up.

    Returns:
        Indices `[n]` to read rows at; gradients `[n, ...]`, where one of each set of equal indices
        has their sum; and indices `[n]` to write rows at, which are `num_rows`, outside of the
        table, for all the others, and for all if not `good`.
    """
    indices = jnp.where(given.indices < 0, given.indices + num_rows, given.indices)
    numbers = jnp.arange(len(indices), dtype=jnp.int32)
    winners = jnp.zeros(num_rows, jnp.int32).at[indices].max(numbers, mode="drop")
    winner = winners.at[indices].get(mode="clip")
    sums = jnp.zeros_like(given.gradients).at[winner].add(given.gradients)
    targets = jnp.where((winner == numbers) & good, indices, num_rows)
    return indices, sums, targets


def _is_lookup(node: Node) -> bool:
    return isinstance(node.op, Gather) and node.op.axis == 0


def _without(graph: Graph, lookups: list[Lookup]) -> Graph:
    rows = {look.rows for look in lookups}
    tables = {look.table for look in lookups}
    given = [node.output for node in graph.nodes if node.outputs[0].name in rows]
    inputs = [entry for entry in graph.inputs if entry.name not in tables]
    inputs += [Input(value, Role.DATA) for value in given]
    nodes = tuple(node for node in graph.nodes if node.outputs[0].name not in rows)
    return Graph(graph.name, tuple(inputs), nodes, graph.outputs, graph.updates)


def _indices_of(graph: Graph, lookups: list[Lookup]) -> Graph:
    """The graph that computes the indices, under the names of the rows."""
    values: dict[str, Value] = {entry.name: entry.value for entry in graph.inputs}
    values.update((value.name, value) for node in graph.nodes for value in node.outputs)
    outputs = tuple(Output(look.rows, values[look.indices]) for look in lookups)
    whole = eliminate_dead_values(Graph(graph.name, graph.inputs, graph.nodes, outputs))
    used = {value.name for node in whole.nodes for value in node.inputs if value is not None} | {
        output.value.name for output in outputs
    }
    inputs = tuple(entry for entry in whole.inputs if entry.name in used)
    return Graph(graph.name, inputs, whole.nodes, outputs)
