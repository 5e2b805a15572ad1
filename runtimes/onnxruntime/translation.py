"""Translation validation: what a graph computes before a pass is held against what it does after.

Both are run by the reference on the same drawn inputs. onnxruntime itself runs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import Graph, Output, Value
from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes import reference
from kcompile.runtimes.onnxruntime.expectation import (
    TOLERANCES,
    Expectation,
    expect,
    rounding,
)
from kcompile.runtimes.onnxruntime.samples import choose_sizes, draw_inputs
from kcompile.runtimes.onnxruntime.verification import compare

_Results = dict[str, Array]


class PassCheck:
    """To be called with the graphs before and after each pass of a pipeline, in order.

    Args:
        graph: what the pipeline starts from.
        weights: arrays of its PARAM and STATE inputs, by name: they are inputs until a pass binds
            them. Those that are not given are drawn.
        sizes: numbers of symbols that a pass will put in their place.
        seed: of the inputs drawn.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Any],
        sizes: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        self._sizes = {**choose_sizes(graph)[-1], **(sizes or {})}
        drawn = draw_inputs(graph, self._sizes, seed)
        self._arrays = {name: weights.get(name, array) for name, array in drawn.items()}
        self._latest: tuple[Graph, Expectation] | None = None

    def __call__(self, before: Graph, after: Graph) -> None:
        """Run both graphs, unless they are the same.

        Raises:
            VerifyError: an output or a next state differs; says which, by how much, and which
                value of the same name is the first to differ.
        """
        if after is before:
            return
        known = self._latest is not None and self._latest[0] is before
        expected = self._latest[1] if known and self._latest else self._run(before)
        found = self._run(after)
        limit = max(expected.narrowest, found.narrowest, key=TOLERANCES.__getitem__)
        actual = found.runs[0].outputs
        for what in expected.runs[0].outputs:
            if what in actual:
                try:
                    self._compare(before, expected, actual[what], what, limit)
                except VerifyError as error:
                    hint = self._first_difference(before, after)
                    raise VerifyError(error.message, where=error.where, hint=hint) from None
        self._latest = (after, found)

    def _compare(
        self, graph: Graph, expected: Expectation, actual: Array, what: str, limit: DType
    ) -> None:
        run = expected.runs[0]
        try:
            compare(actual, run.outputs[what], what, limit)
        except VerifyError:
            carried = rounding(graph, run, _outputs_and_states).get(what)
            compare(actual, run.outputs[what], what, limit, carried=carried)

    def _run(self, graph: Graph) -> Expectation:
        return expect(graph, sizes=[self._sizes], draw=self._draw, compute=_outputs_and_states)

    def _draw(self, graph: Graph, sizes: object, seed: int) -> _Results:
        return {entry.name: self._arrays[entry.name] for entry in graph.inputs}

    def _first_difference(self, before: Graph, after: Graph) -> str | None:
        """Which value is the first that has the same name and type in both graphs and differs."""
        old, new = (self._all_values(graph) for graph in (before, after))
        for value in _made_values(after):
            known = old.get(value.name)
            if known is None or (known.dtype, known.shape) != (
                new[value.name].dtype,
                new[value.name].shape,
            ):
                continue
            try:
                compare(new[value.name], known, value.name)
            except VerifyError:
                source = after.producers[value.name].source
                layer = f", of layer '{source}'" if source else ""
                return f"The first value to differ is %{value.name}{layer}"
        return None

    def _all_values(self, graph: Graph) -> _Results:
        values = (Output(value.name, value) for value in _made_values(graph))
        whole = Graph(graph.name, graph.inputs, graph.nodes, tuple(values))
        return reference.run(whole, self._draw(graph, None, 0))[0]


def _made_values(graph: Graph) -> Iterator[Value]:
    return (value for node in graph.nodes for value in node.outputs)


def _outputs_and_states(
    graph: Graph, arrays: Mapping[str, Any], **options: Any
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
    """What the graph computes, as outputs that are named by what they are."""
    outputs, states = reference.run(graph, arrays, **options)
    named = {f"output '{name}'": array for name, array in outputs.items()}
    return named | {f"next %{name}": array for name, array in states.items()}, {}
