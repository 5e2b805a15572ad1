"""A model as a pure JAX function on pytrees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kcompile.ir.errors import DataError
from kcompile.ir.graph import Graph, Role
from kcompile.ops.structure import leaves, pack_like
from kcompile.ops.trace import RNG_NAME
from kcompile.runtimes.jax.lowering import lower


def pure_function(model: Any) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """`fn(params, state, x, *, training=False, rng=None) -> (outputs, state)` of a model."""
    traced: dict[bool, tuple[Graph, Callable[..., Any]]] = {}

    def program(training: bool) -> tuple[Graph, Callable[..., Any]]:
        if training not in traced:
            graph = model.graph(training=training)
            traced[training] = graph, lower(graph)
        return traced[training]

    def function(
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        rng: Any = None,
    ) -> tuple[Any, dict[str, Any]]:
        graph, run = program(bool(training))
        arrays = _weights(graph, params, state) | _data(graph, x)
        if graph.inputs_with(Role.RNG):
            arrays[RNG_NAME] = _key(graph, rng)
        outputs, updates = run(arrays)
        return pack_like(model.output_structure, list(outputs.values())), {**state, **updates}

    return function


def _weights(graph: Graph, params: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    arrays = {}
    for entry in graph.inputs_with(Role.PARAM, Role.STATE):
        given = params if entry.role is Role.PARAM else state
        if entry.name not in given:
            raise DataError(
                f"'{entry.name}' is missing in {'params' if given is params else 'state'}",
                where=f"model '{graph.name}'",
                hint="Take params and state from model.init(seed)",
            )
        arrays[entry.name] = given[entry.name]
    return arrays


def _data(graph: Graph, x: Any) -> dict[str, Any]:
    """The DATA inputs, cast to the model's element types."""
    entries = graph.inputs_with(Role.DATA)
    names = [entry.name for entry in entries]
    flat = [x[name] for name in names] if _goes_by_name(x, names) else list(leaves(x))
    if len(flat) != len(entries):
        raise DataError(
            f"takes {len(entries)} inputs ({', '.join(names)}), got {len(flat)}",
            where=f"model '{graph.name}'",
        )
    return {
        entry.name: jnp.asarray(array, entry.type.dtype.numpy)
        for entry, array in zip(entries, flat, strict=True)
    }


def _goes_by_name(x: Any, names: list[str]) -> bool:
    return isinstance(x, Mapping) and set(x) == set(names)


def _key(graph: Graph, rng: Any) -> Any:
    """The RNG input: the two words of a JAX key."""
    if rng is None:
        raise DataError(
            "needs rng: it has random layers",
            where=f"model '{graph.name}'",
            hint="Pass rng=jax.random.key(seed)",
        )
    if jnp.issubdtype(jnp.asarray(rng).dtype, jax.dtypes.prng_key):
        rng = jax.random.key_data(rng)
    return jnp.asarray(rng, jnp.uint32)
