"""Loops and branches on XLA. `Scan` and `If` have gradients; `While` has forward-mode ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
from jax import lax

from kcompile.ir.graph import Graph
from kcompile.ir.ops import If, Scan, While
from kcompile.runtimes.jax.lowering import run_nodes
from kcompile.runtimes.jax.table import lowers

Arrays = tuple[jax.Array, ...]


@lowers(Scan)
def scan(op: Scan, *operands: jax.Array) -> Arrays:
    carries, sequences, constants = op.split(operands)
    body = _function(op.body)

    def step(before: Arrays, elements: Arrays) -> tuple[Arrays, Arrays]:
        results = body((*before, *elements, *constants))
        return results[: op.num_carries], results[op.num_carries :]

    last, ys = lax.scan(step, carries, sequences, reverse=op.reverse)
    return (*last, *ys)


@lowers(While)
def while_loop(op: While, *operands: jax.Array) -> Arrays:
    constants = operands[op.num_carries :]
    condition, body = _function(op.condition), _function(op.body)
    return lax.while_loop(
        lambda carries: condition((*carries, *constants))[0],
        lambda carries: body((*carries, *constants)),
        operands[: op.num_carries],
    )


@lowers(If)
def cond(op: If, predicate: jax.Array, *operands: jax.Array) -> Arrays:
    then, otherwise = _function(op.then), _function(op.otherwise)
    return lax.cond(predicate, lambda: then(operands), lambda: otherwise(operands))


def _function(graph: Graph) -> Callable[[Sequence[jax.Array]], Arrays]:
    """A sub-graph without symbols, as a function."""

    def run(operands: Sequence[jax.Array]) -> Arrays:
        names = (entry.name for entry in graph.inputs)
        values = run_nodes(graph, dict(zip(names, operands, strict=True)), {})
        return tuple(values[output.value.name] for output in graph.outputs)

    return run
