"""Optimizers' rules for tables, given gradients of rows."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kcompile.runtimes.jax.optimizers import Array, RowRule, moving, power
from kcompile.runtimes.jax.row_gradients import RowGradients, combined


def adam_rows(*, beta_1: float, beta_2: float, epsilon: float, lazy: bool) -> RowRule:
    """What `adam` without amsgrad does, given the gradients of some rows.

    With `lazy`, only those rows and their slots change: the averages of a row that a batch does not
    look up do not fade, nor does it move on by them.
    """

    def update(
        table: Array,
        slots: dict[str, Array],
        given: RowGradients,
        step: Array,
        rate: Any,
        good: Array,
    ) -> tuple[Array, dict[str, Array]]:
        indices, gradients, targets = combined(given, len(table), good)
        gradients = gradients.reshape(-1, *table.shape[1:])
        alpha = rate * jnp.sqrt(1 - power(beta_2, step)) / (1 - power(beta_1, step))

        def change(momentum: Array, velocity: Array) -> Array:
            return -(momentum * alpha) / (jnp.sqrt(velocity) + epsilon)

        def faded(slot: Array, decay: float) -> Array:
            zero = slot.dtype.type(0)
            return slot if lazy else jnp.where(good, moving(slot, zero, decay), slot)

        old = {name: slot.at[indices].get(mode="clip") for name, slot in slots.items()}
        momentum = moving(old["momentum"], gradients, beta_1)
        velocity = moving(old["velocity"], jnp.square(gradients), beta_2)
        new = {
            "momentum": faded(slots["momentum"], beta_1).at[targets].set(momentum, mode="drop"),
            "velocity": faded(slots["velocity"], beta_2).at[targets].set(velocity, mode="drop"),
        }
        if lazy:
            rows = table.at[indices].get(mode="clip") + change(momentum, velocity)
            return table.at[targets].set(rows, mode="drop"), new
        moved = table + change(new["momentum"], new["velocity"])
        return jnp.where(good, moved, table), new

    return update
