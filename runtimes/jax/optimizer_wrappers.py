"""What goes around an optimizer's rule: accumulation, averages of the weights, loss scales.

Each takes a transformation and gives one, in the form of `kcompile.runtimes.jax.optimizers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.runtimes.jax.optimizers import Array, Transformation


class AccumulatedState(NamedTuple):
    """Attributes:
    num_steps: steps so far, an int32 scalar.
    sums: gradients since the last update.
    inner: state of the transformation inside.
    """

    num_steps: Array
    sums: Any
    inner: Any


class AveragedState(NamedTuple):
    """Attributes:
    num_steps: steps so far, an int32 scalar.
    averages: of the weights, moving.
    inner: state of the transformation inside.
    """

    num_steps: Array
    averages: Any
    inner: Any


class ScaledState(NamedTuple):
    """Attributes:
    scale: what the loss is multiplied by, a float32 scalar.
    num_finite: steps since the scale has changed, an int32 scalar.
    num_skipped: steps so far whose gradients were not finite, an int32 scalar.
    inner: state of the transformation inside.
    """

    scale: Array
    num_finite: Array
    num_skipped: Array
    inner: Any


def accumulated(inner: Transformation, num_steps: int) -> Transformation:
    """`inner` on the mean gradient of each `num_steps` steps; nothing in the steps between."""

    def init(params: Any) -> AccumulatedState:
        return AccumulatedState(_zero(), jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(
        gradients: Any, state: AccumulatedState, params: Any, **options: Any
    ) -> tuple[Any, AccumulatedState]:
        sums = jax.tree.map(lambda g, total: g.astype(total.dtype) + total, gradients, state.sums)

        def at_last() -> tuple[Any, Any, Any]:
            means = jax.tree.map(lambda total: total / num_steps, sums)
            updates, after = inner.update(means, state.inner, params, **options)
            return updates, jax.tree.map(jnp.zeros_like, sums), after

        def between() -> tuple[Any, Any, Any]:
            return jax.tree.map(jnp.zeros_like, params), sums, state.inner

        count = state.num_steps + 1
        updates, sums, after = lax.cond(count % num_steps == 0, at_last, between)
        return updates, AccumulatedState(count, sums, after)

    return Transformation(init, update)


def averaged(
    inner: Transformation, momentum: float, frequency: int | None, num_accumulated: int | None
) -> Transformation:
    """`inner`, with a moving average of the weights that it gives.

    Args:
        momentum: of the average, which is the weights themselves up to the first update's end.
        frequency: after so many updates the weights become their averages; None for never.
        num_accumulated: steps of an update; the average moves in each of them.
    """

    def init(params: Any) -> AveragedState:
        return AveragedState(_zero(), jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(
        gradients: Any, state: AveragedState, params: Any, **options: Any
    ) -> tuple[Any, AveragedState]:
        updates, after = inner.update(gradients, state.inner, params, **options)
        num_updates = state.num_steps // (num_accumulated or 1)

        def moved(average: Array, weight: Array, change: Array) -> Array:
            kept = (num_updates != 0).astype(weight.dtype) * momentum
            new: Array = kept * average + (1 - kept) * (weight + change)
            return new.astype(weight.dtype)

        averages = jax.tree.map(moved, state.averages, params, updates)
        if frequency is not None:
            overwrites = (num_updates + 1) % frequency == 0
            updates = jax.tree.map(
                lambda change, average, weight: jnp.where(overwrites, average - weight, change),
                updates,
                averages,
                params,
            )
        return updates, AveragedState(state.num_steps + 1, averages, after)

    return Transformation(init, update)


def unscaled(inner: Transformation, factor: float) -> Transformation:
    """`inner` on gradients of a loss that is multiplied by `factor`."""

    def init(params: Any) -> ScaledState:
        return ScaledState(jnp.float32(factor), _zero(), _zero(), inner.init(params))

    def update(
        gradients: Any, state: ScaledState, params: Any, **options: Any
    ) -> tuple[Any, ScaledState]:
        gradients = _divided(gradients, state.scale)
        updates, after = inner.update(gradients, state.inner, params, **options)
        return updates, state._replace(inner=after)

    return Transformation(init, update)


def dynamically_scaled(
    inner: Transformation, initial_scale: float, growth_steps: int
) -> Transformation:
    """`inner` on gradients of a scaled loss; steps with gradients that are not finite are skipped.

    A skipped step halves the scale, and `growth_steps` others in a row double it.
    Micikevicius et al., 2018, section 3.2.
    """

    def init(params: Any) -> ScaledState:
        return ScaledState(jnp.float32(initial_scale), _zero(), _zero(), inner.init(params))

    def update(
        gradients: Any, state: ScaledState, params: Any, **options: Any
    ) -> tuple[Any, ScaledState]:
        finite = jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(gradients)]).all()

        def step() -> tuple[Any, Any]:
            small = _divided(gradients, state.scale)
            return inner.update(small, state.inner, params, **options)

        def skip() -> tuple[Any, Any]:
            return jax.tree.map(jnp.zeros_like, params), state.inner

        updates, after = lax.cond(finite, step, skip)
        grows = finite & (state.num_finite == growth_steps - 1)
        factor = jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5).astype(jnp.float32)
        return updates, ScaledState(
            state.scale * factor,
            jnp.where(finite & ~grows, state.num_finite + 1, 0),
            state.num_skipped + ~finite,
            after,
        )

    return Transformation(init, update)


def partitioned(
    parts: Mapping[str, Transformation], part_of: Callable[[str, tuple[int, ...]], str]
) -> Transformation:
    """Each weight updated by one of several transformations.

    Args:
        parts: the transformations by their names.
        part_of: gives the name of the one for a weight, from its path and shape.
    """

    def split(params: Any, tree: Any) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {name: {} for name in parts}
        flat: Any = jax.tree_util.tree_flatten_with_path(params)
        paths, structure = flat
        for (path, weight), leaf in zip(paths, structure.flatten_up_to(tree), strict=True):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            found[part_of(name, weight.shape)][name] = leaf
        return found

    def init(params: Any) -> dict[str, Any]:
        return {name: parts[name].init(own) for name, own in split(params, params).items()}

    def update(
        gradients: Any, state: dict[str, Any], params: Any, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        weights, own = split(params, params), split(params, gradients)
        results = {
            name: part.update(own[name], state[name], weights[name], **options)
            for name, part in parts.items()
        }
        changes = {
            key: change for updates, _ in results.values() for key, change in updates.items()
        }
        updates = jax.tree_util.tree_map_with_path(
            lambda path, _: changes[jax.tree_util.keystr(path, simple=True, separator="/")], params
        )
        return updates, {name: after for name, (_, after) in results.items()}

    return Transformation(init, update)


def loss_scale(state: Any) -> Array | None:
    """What the loss is to be multiplied by before gradients are taken; None for nothing."""
    return state.scale if isinstance(state, ScaledState) else None


def num_skipped(state: Any) -> Array | int:
    """The steps so far that were skipped, which schedules of the learning rate do not count."""
    return state.num_skipped if isinstance(state, ScaledState) else 0


def averages(state: Any) -> Any:
    """The moving averages of the weights; None if there are none."""
    if isinstance(state, ScaledState):
        return averages(state.inner)
    return state.averages if isinstance(state, AveragedState) else None


def named_arrays(state: Any) -> dict[str, Any]:
    """The arrays of a state on the host, by their places in it."""
    paths, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(state))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}


def with_arrays(state: Any, arrays: Mapping[str, Any]) -> Any:
    """The state with other arrays at some of the places that `named_arrays` names."""

    def replaced(path: Any, leaf: Array) -> Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return jnp.asarray(arrays[name], leaf.dtype) if name in arrays else leaf

    return jax.tree_util.tree_map_with_path(replaced, state)


def with_rate(inner: Transformation, ratio: float) -> Transformation:
    """`inner`, with the learning rate multiplied by `ratio`."""

    def update(
        gradients: Any, state: Any, params: Any, *, learning_rate: Any, **options: Any
    ) -> tuple[Any, Any]:
        rate = learning_rate * ratio
        return inner.update(gradients, state, params, learning_rate=rate, **options)

    return Transformation(inner.init, update)


def _divided(gradients: Any, scale: Array) -> Any:
    """Gradients by the scale, each in its own type; a scale above 65504 is infinite in float16."""
    scale = jnp.asarray(scale, jnp.float32)
    return jax.tree.map(lambda g: jnp.divide(g, scale).astype(g.dtype), gradients)


def _zero() -> Array:
    return jnp.zeros((), jnp.int32)
