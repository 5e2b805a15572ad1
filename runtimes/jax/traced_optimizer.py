"""Optimizers that are traced into a graph, as transformations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from kcompile.ir.types import TensorType
from kcompile.runtimes.jax.lowering import lower
from kcompile.runtimes.jax.optimizers import SlotState, Transformation


def traced(trace: Callable[[Mapping[str, TensorType]], Any]) -> Transformation:
    """The transformation of weights in a dict.

    Args:
        trace: gives a `kcompile.training.optimizers.own_updates.TracedUpdate`.
    """

    def update_of(params: Mapping[str, Any]) -> Any:
        return trace({name: TensorType.of(weight) for name, weight in params.items()})

    def init(params: Mapping[str, Any]) -> SlotState:
        slots = {name: jnp.array(array) for name, array in update_of(params).slots.items()}
        return SlotState(jnp.zeros((), jnp.int32), slots)

    def update(
        gradients: Mapping[str, Any],
        state: SlotState,
        params: Mapping[str, Any],
        *,
        learning_rate: Any,
        **extra: Any,
    ) -> tuple[dict[str, Any], SlotState]:
        graph = update_of(params).graph
        arrays = {
            **params,
            **state.slots,
            **{f"gradient/{n}": g.astype(params[n].dtype) for n, g in gradients.items()},
            "learning_rate": jnp.asarray(learning_rate, jnp.float32),
            "iterations": state.num_updates,
        }
        _, after = lower(graph)({entry.name: arrays[entry.name] for entry in graph.inputs})
        updates = {name: after.get(name, weight) - weight for name, weight in params.items()}
        slots = {name: after.get(name, slot) for name, slot in state.slots.items()}
        return updates, SlotState(state.num_updates + 1, slots)

    return Transformation(init, update)
