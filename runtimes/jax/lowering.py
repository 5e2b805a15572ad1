"""Graph -> pure JAX function.

64-bit types: JAX without its x64 mode silently computes in 32 bits what a graph says in 64. So a
graph with an i64, u64 or f64 value, wherever it is (an index made by Argmax, a Cast, the indices
of a Gather), runs in x64 mode or not at all. `lower` gives a function that refuses, naming the
value, when it is traced without that mode; `eager` and `executable` switch the mode on for the
calls of such graphs alone. The process-wide setting is never touched. Graphs meant for training
hold 32-bit types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.errors import ExportError, VerifyError
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Op
from kcompile.ir.ops.control import graphs_of
from kcompile.ir.types import DType
from kcompile.runtimes.binding import bind_arrays, bind_op, describe, mismatch
from kcompile.runtimes.jax.rematerialization import Segment
from kcompile.runtimes.jax.table import LOWERINGS, Lowering

Results = tuple[dict[str, jax.Array], dict[str, jax.Array]]


def lower(
    graph: Graph,
    table: Mapping[type[Op], Lowering] = LOWERINGS,
    kept: Collection[str] = (),
    segments: Sequence[Segment] = (),
) -> Callable[[Mapping[str, Any]], Results]:
    """A function from arrays by input name to (outputs by name, next states by state name).

    It is pure and can be traced: by `jax.jit`, `jax.grad`, `jax.vmap`, once for each set of
    shapes. A state without update is not among the next states.

    Args:
        graph: the graph.
        table: lowerings of its nodes; the bodies of loops and branches have the common ones.
        kept: names of values that are to be kept in memory rather than computed where they are
            read, as far as the backend lets one say so.
        segments: all nodes, in parts of which some are computed again for gradients.

    Raises:
        ExportError: the graph holds strings. When traced: it holds 64-bit types and x64 is off.
        DataError: when traced: the arrays do not fit the inputs.
    """
    for value in _values(graph):
        if value.type.dtype is DType.STRING:
            raise ExportError(f"JAX has no strings, which {value} needs", where=_place(graph))

    def function(arrays: Mapping[str, Any]) -> Results:
        _require_x64(graph)
        bound, env = bind_arrays(graph, arrays)
        inputs = {name: jnp.asarray(x) for name, x in bound.items()}
        values = run_nodes(graph, inputs, env, table, kept, segments)
        outputs = {output.name: values[output.value.name] for output in graph.outputs}
        return outputs, {update.state.name: values[update.value.name] for update in graph.updates}

    return function


def run_nodes(
    graph: Graph,
    inputs: Mapping[str, jax.Array],
    env: Mapping[str, int],
    table: Mapping[type[Op], Lowering] = LOWERINGS,
    kept: Collection[str] = (),
    segments: Sequence[Segment] = (),
) -> dict[str, jax.Array]:
    """All values by name, given those of the inputs and the numbers of symbols.

    Of segments that are computed again, the values that only they read are left out.
    """

    def run(nodes: Iterable[Node], values: dict[str, jax.Array]) -> None:
        for node in nodes:
            with jax.named_scope(scope_of(node.source)):
                results = lower_node(graph, node, values, env, table)
            for value, result in zip(node.outputs, results, strict=True):
                is_kept = value.name in kept
                values[value.name] = lax.optimization_barrier(result) if is_kept else result

    def recomputed(segment: Segment) -> Callable[[dict[str, jax.Array]], dict[str, jax.Array]]:
        def function(given: dict[str, jax.Array]) -> dict[str, jax.Array]:
            own = dict(given)
            run(segment.nodes, own)
            return {name: own[name] for name in segment.outputs}

        return jax.checkpoint(function)

    values = dict(inputs)
    if not segments:
        run(graph.nodes, values)
    for segment in segments:
        if segment.is_recomputed:
            values |= recomputed(segment)({name: values[name] for name in segment.inputs})
        else:
            run(segment.nodes, values)
    return values


def scope_of(source: str) -> str:
    """The name that what a layer computes has in compiled programs and in traces of them."""
    return "layer." + re.sub(r"[^\w.]", "_", source.replace("/", "."))


def first_wide_value(graph: Graph) -> Value | None:
    """The first value with a 64-bit type, if any."""
    wide = (v for v in _values(graph) if v.type.dtype.numpy.itemsize == 8)
    return next(wide, None)


def _values(graph: Graph) -> list[Value]:
    made = [value for node in graph.nodes for value in node.outputs]
    inner = [v for node in graph.nodes for inside in graphs_of(node.op) for v in _values(inside)]
    return [entry.value for entry in graph.inputs] + made + inner


def _place(graph: Graph) -> str:
    return f"graph '{graph.name}'"


def _require_x64(graph: Graph) -> None:
    if jax.config.read("jax_enable_x64"):
        return
    wide = first_wide_value(graph)
    if wide is not None:
        raise ExportError(
            f"{wide} has a 64-bit type, which JAX would compute in 32 bits",
            where=_place(graph),
            hint="Use a 32-bit type, or call it within jax.enable_x64(True)",
        )


def lower_node(
    graph: Graph,
    node: Node,
    values: Mapping[str, jax.Array],
    env: Mapping[str, int],
    table: Mapping[type[Op], Lowering] = LOWERINGS,
) -> tuple[jax.Array, ...]:
    """The results of one node, given all values before it and the numbers of symbols."""
    operands = tuple(None if value is None else values[value.name] for value in node.inputs)
    results = table[type(node.op)](bind_op(node, operands, env, graph), *operands)
    results = results if isinstance(results, tuple) else (results,)
    if problem := mismatch(node, results, env):
        raise VerifyError(f"the JAX lowering {problem}", where=describe(graph, node))
    return results
