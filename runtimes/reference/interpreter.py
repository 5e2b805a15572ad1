"""Runs a graph by the NumPy references of its ops."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from kcompile.ir.errors import ExportError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.op import evaluate
from kcompile.ir.types import DType
from kcompile.runtimes.binding import bind_arrays, bind_op, describe, mismatch

Arrays = dict[str, np.ndarray[Any, Any]]


def run(
    graph: Graph, arrays: Mapping[str, Any], *, jitter: np.random.Generator | None = None
) -> tuple[Arrays, Arrays]:
    """Outputs by output name, and next states by state name, of `graph` on `arrays`.

    A state without update is not among the next states.

    Args:
        graph: what to run.
        arrays: by input name.
        jitter: changes every floating-point value that is made at random by up to a unit in the
            last place, which shows how far rounding carries (Monte Carlo arithmetic: Parker,
            1997).

    Raises:
        DataError: the arrays do not fit the inputs.
        ExportError: a layer calls a function that only its own runtime has.
        VerifyError: an op's reference makes something else than the graph says.
    """
    bound, env = bind_arrays(graph, arrays)
    values = {name: np.asarray(array) for name, array in bound.items()}
    last_uses = _last_uses(graph)
    for index, node in enumerate(graph.nodes):
        operands = tuple(None if value is None else values[value.name] for value in node.inputs)
        try:
            results = evaluate(bind_op(node, operands, env, graph), operands)
        except ExportError as error:
            layer = f"layer '{node.source}'" if node.source else f"graph '{graph.name}'"
            raise error.located(layer) from None
        if problem := mismatch(node, results, env):
            raise VerifyError(f"the reference {problem}", where=describe(graph, node))
        if jitter is not None:
            results = tuple(_jittered(array, jitter) for array in results)
        values.update(zip((value.name for value in node.outputs), results, strict=True))
        for name in last_uses.get(index, ()):  # their memory is used again for what follows
            del values[name]
    outputs = {output.name: values[output.value.name] for output in graph.outputs}
    return outputs, {update.state.name: values[update.value.name] for update in graph.updates}


def _last_uses(graph: Graph) -> dict[int, list[str]]:
    """Names of the values that nothing uses after a node, by the node's index."""
    kept = {output.value.name for output in graph.outputs}
    kept |= {update.value.name for update in graph.updates}
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        last.update((value.name, index) for value in (*node.outputs, *node.inputs) if value)
    uses: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept:
            uses.setdefault(index, []).append(name)
    return uses


def _jittered(array: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    dtype = DType.of(array.dtype)
    if not dtype.is_floating or not array.size:
        return array
    factors = _factors(array.dtype.name)
    flat = array.reshape(-1)
    moved = np.empty_like(flat)
    with np.errstate(all="ignore"):
        for begin in range(0, flat.size, _NUM_AT_ONCE):
            part = flat[begin : begin + _NUM_AT_ONCE]
            first = int(rng.integers(factors.size - part.size))
            np.multiply(part, factors[first : first + part.size], out=moved[begin:][: part.size])
    if not np.isfinite(moved).all():
        moved = np.where(np.isfinite(moved), moved, flat)  # the greatest numbers stay numbers
    return moved.reshape(array.shape)


#: Elements that are multiplied at a time, and the random factors that they are taken from: to
#: draw as many as there are elements takes longer than most ops do.
_NUM_AT_ONCE = 2**16
_NUM_FACTORS = 2**20


@functools.cache
def _factors(dtype: str) -> np.ndarray[Any, Any]:
    """Numbers that differ from 1 by up to a unit in the last place."""
    noise = 2 * np.random.default_rng(0).random(_NUM_FACTORS) - 1
    return (1 + float(ml_dtypes.finfo(dtype).eps) * noise).astype(dtype)
