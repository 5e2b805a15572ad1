"""Prediction as an XLA program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax

from kcompile.ir.graph import Graph, Role
from kcompile.runtimes.jax import compile_cache
from kcompile.runtimes.jax.lowering import lower
from kcompile.runtimes.jax.training import names_of, types_of, words

Array: TypeAlias = jax.Array
Arrays: TypeAlias = dict[str, Array]


class Predictor:
    """The outputs of an inference graph for batches of rows.

    Args:
        graph: whose last outputs are the next values of the states in `carried_names`.
        carried_names: the states that one batch leaves to the next.
    """

    def __init__(self, graph: Graph, carried_names: Sequence[str] = ()) -> None:
        self.graph = graph
        self.carried_names = tuple(carried_names)
        self.weight_names = [e.name for e in graph.inputs_with(Role.PARAM, Role.STATE)]
        self._rng_names = names_of(graph, Role.RNG)
        self._data_types = {e.name: e.type.dtype.numpy for e in graph.inputs_with(Role.DATA)}
        compile_cache.start()
        self.function = jax.jit(self._run)

    def run(self, weights: Arrays, rows: Mapping[str, Any], seed: int, number: int) -> list[Array]:
        """The outputs in order, still on the device."""
        return self.function(weights, dict(rows), words(seed, number))

    def lowered(self, weights: Mapping[str, Any], rows: Mapping[str, Any]) -> list[Any]:
        """What is to be compiled, by its `compile()`, before `run` takes rows of such types."""
        return [self.function.lower(types_of(weights), types_of(rows), words(0, 0))]

    def _run(self, weights: Arrays, rows: Arrays, key: Array) -> list[Array]:
        rows = {name: array.astype(self._data_types[name]) for name, array in rows.items()}
        outputs, _ = lower(self.graph)({**weights, **rows, **dict.fromkeys(self._rng_names, key)})
        return [outputs[output.name] for output in self.graph.outputs]
