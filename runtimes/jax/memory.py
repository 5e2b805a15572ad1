"""How much memory gradients need, told from types alone: nothing is compiled or computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kcompile.ir.dims import substitute
from kcompile.ir.graph import Graph, Role
from kcompile.runtimes.binding import bind_arrays
from kcompile.runtimes.jax.compiler_options import values_to_keep
from kcompile.runtimes.jax.lowering import lower
from kcompile.runtimes.jax.rematerialization import Policy, Segment, plan
from kcompile.runtimes.jax.table import training_table


def saved_bytes(
    graph: Graph, params: Mapping[str, Any], others: Mapping[str, Any], remat: Policy = None
) -> int:
    """Bytes that the forward pass keeps for the backward pass, and what is made from them again.

    XLA may keep less, where it computes a cheap value once more, and needs room for what it is
    working on.

    Args:
        graph: computes something to differentiate by.
        params: types of the inputs that gradients are for, by name.
        others: types of the others, those of random numbers left out.
        remat: what is computed again instead.
    """
    table = training_table(jax.default_backend())
    segments = plan(graph, remat)
    run = lower(graph, table, values_to_keep(graph), segments)
    random = {entry.name: np.zeros(2, np.uint32) for entry in graph.inputs_with(Role.RNG)}

    def pullback_of(params: dict[str, Any], others: dict[str, Any]) -> Any:
        def total(params: dict[str, Any]) -> Any:
            outputs, updates = run({**params, **others, **random})
            sums = [jnp.sum(x) for x in outputs.values() if jnp.issubdtype(x.dtype, jnp.floating)]
            return sum(x.astype(jnp.float32) for x in sums), updates

        return jax.vjp(total, params, has_aux=True)[1]

    traced = jax.make_jaxpr(pullback_of)(_types(params), _types(others)).jaxpr
    given = set(traced.invars) | set(traced.constvars)
    kept = {id(var): var.aval for var in traced.outvars if _is_made(var, given)}
    _, env = bind_arrays(graph, {**params, **others, **random})
    again = [_made_bytes(segment, env) for segment in segments if segment.is_recomputed]
    return sum(aval.size * aval.dtype.itemsize for aval in kept.values()) + max(again, default=0)


def _made_bytes(segment: Segment, env: Mapping[str, int]) -> int:
    """The size of what a segment makes and nobody outside reads."""
    types = [
        v.type for node in segment.nodes for v in node.outputs if v.name not in segment.outputs
    ]
    shapes = [[int(substitute(size, env)) for size in type.shape] for type in types]
    sizes = zip(types, shapes, strict=True)
    return sum(math.prod(shape) * type.dtype.numpy.itemsize for type, shape in sizes)


def _is_made(var: Any, given: set[Any]) -> bool:
    """Whether it is computed: no number that stands in the program, and none of its inputs."""
    return not hasattr(var, "val") and var not in given


def _types(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {n: jax.ShapeDtypeStruct(array.shape, array.dtype) for n, array in arrays.items()}


def slots_bytes(transformation: Any, params: Mapping[str, Any]) -> int:
    """Bytes of the optimizer's state for weights of such types."""
    slots = jax.eval_shape(transformation.init, _types(params))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(slots))
