"""Embedding tables that a training program updates by rows."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kcompile.ir.graph import Graph
from kcompile.runtimes.jax.optimizers import RowwiseTransformation, SlotState
from kcompile.runtimes.jax.row_gradients import Lookups, find_lookups

Arrays = dict[str, jax.Array]

#: Smaller tables are updated as a whole: that takes less time than looking for equal indices.
_LEAST_SIZE = 2**18


class Tables:
    """The tables of a step's graph that are updated by rows; often none.

    They are where the optimizer can do so: large ones on the CPU, with the same result as for a
    gradient of the whole table; with a lazy optimizer all that nothing but lookups reads.

    Args:
        graph: of the step.
        transformation: the optimizer, or None.
        constrained: names of weights that have to stay whole.

    Attributes:
        graph: the graph that takes the rows as inputs instead.
    """

    def __init__(self, graph: Graph, transformation: Any, constrained: Collection[str]) -> None:
        self.graph = graph
        self._optimizer = transformation
        self._lookups: Lookups | None = None
        if not isinstance(transformation, RowwiseTransformation):
            return
        lazy = transformation.is_lazy
        found = find_lookups(graph, constrained, 0 if lazy else _LEAST_SIZE)
        if lazy and not found:
            warnings.warn(
                "lazy=True changes nothing: no float32 table is trained that only lookups read",
                stacklevel=2,
            )
        if found and (lazy or jax.default_backend() == "cpu"):
            self._lookups = Lookups(graph, found)
            self.graph = self._lookups.graph

    @property
    def names(self) -> Collection[str]:
        """The names of the tables."""
        return () if self._lookups is None else self._lookups.tables

    def indices(self, arrays: Mapping[str, Any]) -> Arrays:
        """The indices of a step by the names of the rows, given all inputs of the step."""
        return {} if self._lookups is None else self._lookups.indices(arrays)

    def rows(self, params: Arrays, indices: Arrays) -> Arrays:
        """What the graph takes for the tables."""
        return {} if self._lookups is None else self._lookups.rows(params, indices)

    def rest(self, params: Arrays) -> Arrays:
        """The weights that are updated as a whole."""
        return {name: array for name, array in params.items() if name not in self.names}

    def rest_of_slots(self, slots: Any) -> Any:
        """The optimizer's state for those."""
        if self._lookups is None:
            return slots
        return SlotState(
            slots.num_updates, {kind: self.rest(arrays) for kind, arrays in slots.slots.items()}
        )

    def updated(
        self,
        params: Arrays,
        slots: Any,
        gradients: Mapping[str, Any],
        rate: Any,
        good: jax.Array,
    ) -> tuple[Arrays, dict[str, Arrays]]:
        """The tables and, by kind, their slots after the step; as before if it was not finite.

        Args:
            params, slots: before the step, of all weights.
            gradients: of the rows, by table.
            rate: the learning rate.
            good: whether the step is finite.
        """
        tables: Arrays = {}
        kinds: dict[str, Arrays] = {}
        for name in self.names:
            own = {kind: arrays[name] for kind, arrays in slots.slots.items()}
            step = (slots.num_updates + 1).astype(jnp.float32)
            tables[name], own = self._optimizer.update_rows(
                params[name], own, gradients[name], step, rate, good
            )
            for kind, array in own.items():
                kinds.setdefault(kind, {})[name] = array
        return tables, kinds

    def gradients(self, indices: Arrays, rows: Arrays) -> Mapping[str, Any]:
        """Gradients by table, given those of the rows."""
        return {} if self._lookups is None else self._lookups.gradients(indices, rows)
