"""Optimizers that treat weights in different ways, or that keep a second set of them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kcompile.runtimes.jax.optimizers import Array, Transformation, power, slotted


def muon(
    *,
    coefficients: tuple[float, float, float],
    momentum: float,
    num_iterations: int,
    nesterov: bool,
    rms_rate: float | None,
) -> Transformation:
    """`m = momentum * m + g; w -= rate * orthogonalized(m)`, for matrices. Jordan, 2024.

    With `rms_rate`, steps are scaled to that root mean square of Adam's (Liu et al., 2025,
    section 2.2).
    """

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        moved = slots["momentum"] + (gradient + slots["momentum"] * (momentum - 1))
        direction = gradient + momentum * moved if nesterov else moved
        update = rate * _orthogonalized(direction, coefficients, num_iterations)
        if rms_rate is not None:
            update = update * jnp.sqrt(jnp.float32(max(weight.shape))) * rms_rate
        return -update, {"momentum": moved}

    return slotted({"momentum": jnp.zeros_like}, rule)


def _orthogonalized(x: Array, coefficients: tuple[float, float, float], num: int) -> Array:
    """About `U V^T` of `x = U S V^T`, by Newton and Schulz's iteration of degree 5."""
    a, b, c = coefficients
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(num):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if is_tall else x


def schedule_free_adam(
    *, beta_1: float, beta_2: float, epsilon: float, warmup_steps: int
) -> Transformation:
    """Steps of `z` by Adam's second moment; weights lie between z and its average.

    `z -= rate * g / (sqrt(v / (1 - beta_2**t)) + epsilon); x += (z - x) / t;
    w = (1 - beta_1) * z + beta_1 * x`. Defazio et al., 2024.
    """

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        if warmup_steps > 0:
            rate = rate * jnp.minimum(step / warmup_steps, 1.0)
        before = slots["momentum"]
        velocity = slots["velocity"] + (jnp.square(gradient) - slots["velocity"]) * (1 - beta_2)
        root = jnp.sqrt(velocity / (1 - power(beta_2, step)))
        now = before - rate * gradient / (root + epsilon)
        average = (weight - (1 - beta_1) * before) / beta_1
        average = (1 - 1 / step) * average + now / step
        new = (1 - beta_1) * now + beta_1 * average
        return new - weight, {"momentum": now, "velocity": velocity}

    return slotted({"momentum": _copy, "velocity": jnp.zeros_like}, rule)


def _copy(weight: Array) -> Array:
    """A buffer of its own, so that it can be donated beside the weight's."""
    return jnp.array(weight, copy=True)
