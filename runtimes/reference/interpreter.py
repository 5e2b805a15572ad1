"""Runs a graph by the NumPy references of its ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import ExportError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.op import evaluate
from kcompile.runtimes.binding import bind_arrays, bind_op, describe, mismatch

Arrays = dict[str, np.ndarray[Any, Any]]


def run(graph: Graph, arrays: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """Outputs by output name, and next states by state name, of `graph` on `arrays`.

    A state without update is not among the next states.

    Raises:
        DataError: the arrays do not fit the inputs.
        ExportError: a layer calls a function that only its own runtime has.
        VerifyError: an op's reference makes something else than the graph says.
    """
    bound, env = bind_arrays(graph, arrays)
    values = {name: np.asarray(array) for name, array in bound.items()}
    for node in graph.nodes:
        operands = tuple(None if value is None else values[value.name] for value in node.inputs)
        try:
            results = evaluate(bind_op(node, operands, env, graph), operands)
        except ExportError as error:
            layer = f"layer '{node.source}'" if node.source else f"graph '{graph.name}'"
            raise error.located(layer) from None
        if problem := mismatch(node, results, env):
            raise VerifyError(f"the reference {problem}", where=describe(graph, node))
        values.update(zip((value.name for value in node.outputs), results, strict=True))
    outputs = {output.name: values[output.value.name] for output in graph.outputs}
    return outputs, {update.state.name: values[update.value.name] for update in graph.updates}
