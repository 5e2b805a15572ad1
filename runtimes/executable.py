"""A graph as something to call with data, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, ExportError
from kcompile.ir.graph import Graph


class GraphExecutable:
    """A graph, the function that runs it, and the arrays that stay the same from run to run.

    Args:
        graph: without updates, since nobody would keep the next states.
        weights: arrays by input name.
        function: gives (outputs, next states) for arrays by input name.

    Raises:
        ExportError: the graph has updates.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Any] | None,
        function: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], Mapping[str, Any]]],
    ) -> None:
        if graph.updates:
            raise ExportError(
                f"the next value of %{graph.updates[0].state.name} would be lost",
                where=f"graph '{graph.name}'",
                hint="Make it an inference graph, or call the runtime and keep the states",
            )
        self.graph = graph
        self.weights = dict(weights or {})
        self._function = function

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs that `run` takes, in order: those without weights."""
        return tuple(e.name for e in self.graph.inputs if e.name not in self.weights)

    def run(self, inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs by name.

        Args:
            inputs: arrays by input name, or in the order of `input_names`.

        Raises:
            DataError: the arrays do not fit the inputs.
        """
        named = inputs if isinstance(inputs, Mapping) else self._by_name(inputs)
        outputs, _ = self._function({**self.weights, **named})
        return {name: np.array(array) for name, array in outputs.items()}

    def _by_name(self, inputs: Sequence[Any]) -> dict[str, Any]:
        names = self.input_names
        if len(inputs) != len(names):
            raise DataError(
                f"takes {len(names)} arrays, got {len(inputs)}",
                where=f"graph '{self.graph.name}'",
                hint=f"The inputs are {', '.join(names) or 'none'}",
            )
        return dict(zip(names, inputs, strict=True))
