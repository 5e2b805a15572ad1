"""Optimizers with Keras's formulas, as optax gradient transformations.

Every function here gives a transformation whose `update(gradients, state, params,
learning_rate=...)` returns what to add to the weights: the learning rate and its sign are already
in it. A state is a pytree of arrays whose parts have the structure of the weights, so it can be
donated and saved like them. The learning rate is an argument of every call: a schedule or a
callback changes it without a recompile.

optax is imported in this module only. Its own pieces are used wherever their formula is Keras's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kcompile.runtimes.jax.channel_sums import channel_sums
from kcompile.runtimes.jax.row_gradients import RowGradients

Array: TypeAlias = jax.Array
Transformation: TypeAlias = optax.GradientTransformationExtraArgs
# (gradient, weight, slots, step counted from 1, learning rate) -> (update, new slots)
Rule: TypeAlias = Callable[
    [Array, Array, dict[str, Array], Array, Any], tuple[Array, dict[str, Array]]
]

# (table, its slots, gradients of rows, step counted from 1, learning rate, whether the step is
# finite) -> (table, slots) after the step; the same as before if it is not finite
RowRule: TypeAlias = Callable[
    [Array, dict[str, Array], RowGradients, Array, Any, Array], tuple[Array, dict[str, Array]]
]

apply_updates = optax.apply_updates

#: What `BoundedTransformation` says holds up to these magnitudes: far from the greatest float32,
#: 3.4e38, and far beyond what training can get any good from.
LARGEST_GRADIENT = 1e18
LARGEST_RATE = 1e6


class BoundedTransformation(optax.GradientTransformationExtraArgs):
    """One that makes finite weights of finite ones if gradients and learning rate are bounded.

    Whether a step is finite is then known before the weights are computed.
    """


class RowwiseTransformation(BoundedTransformation):
    """One that can also update a table given the gradients of some rows.

    Attributes:
        update_rows: does so.
        is_lazy: whether rows that have no gradient stay as they are.
    """

    update_rows: RowRule
    is_lazy: bool

    def __new__(cls, rule: Transformation, update_rows: RowRule, is_lazy: bool) -> Self:
        made = super().__new__(cls, *rule)
        made.update_rows, made.is_lazy = update_rows, is_lazy
        return made


def are_bounded(gradients: Any, learning_rate: Any) -> Array:
    """Whether no gradient is NaN or infinite, and sums of them and the rate are in those bounds.

    A sum tells of all its terms, and takes less time than a look at each.
    """
    sums = [channel_sums(jnp.atleast_1d(g)) for g in jax.tree.leaves(gradients)]
    bounded = [jnp.all(jnp.abs(total) <= LARGEST_GRADIENT) for total in sums]
    return jnp.stack([jnp.abs(learning_rate) <= LARGEST_RATE, *bounded]).all()


class SlotState(NamedTuple):
    """State of an optimizer that keeps arrays next to each weight.

    Attributes:
        num_updates: updates made so far, an int32 scalar.
        slots: for each kind of array, a tree with the structure of the weights.
    """

    num_updates: Array
    slots: dict[str, Any]


def compose(
    rule: Transformation,
    *,
    weight_decay: float | None = None,
    decays: Callable[[str], bool] = lambda name: True,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
    is_bounded: bool = False,
    update_rows: RowRule | None = None,
    is_lazy: bool = False,
) -> Transformation:
    """`rule` on clipped gradients, with its weights shrunk by `weight_decay * learning_rate`.

    Args:
        is_bounded: whether `rule` is what `BoundedTransformation` says.
        update_rows: what `rule` does with gradients of rows; for a rule that is bounded. With
            `is_lazy`, other rows stay as they are.
        decays: says by its name (its path, joined with `/`) whether a weight is shrunk.
        clipnorm: largest L2 norm of the gradient of one weight.
        clipvalue: largest magnitude of one element of a gradient.
        global_clipnorm: largest L2 norm of all gradients together.
    """
    if update_rows and not (weight_decay or clipnorm or clipvalue or global_clipnorm):
        return RowwiseTransformation(rule, update_rows, is_lazy)
    if weight_decay:
        rule = _with_weight_decay(rule, weight_decay, decays)
    if clipnorm:
        rule = optax.chain(_clip_each_by_norm(clipnorm), rule)
    if global_clipnorm:
        rule = optax.chain(optax.clip_by_global_norm(global_clipnorm), rule)
    if clipvalue:
        rule = optax.chain(optax.clip(clipvalue), rule)
    return BoundedTransformation(*rule) if is_bounded else rule


def from_optax(transformation: optax.GradientTransformation) -> Transformation:
    """Any optax transformation, with the learning rate of the call ignored: it holds its own."""
    wrapped = optax.with_extra_args_support(transformation)

    def update(
        gradients: Any, state: Any, params: Any = None, *, learning_rate: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        return wrapped.update(gradients, state, params, **extra)

    return Transformation(wrapped.init, update)


def sgd(*, momentum: float, nesterov: bool) -> Transformation:
    """`m = momentum * m - rate * g; w += m`; Nesterov adds `momentum * m - rate * g`."""
    if momentum == 0.0:
        return _scale_by_rate()
    return optax.chain(_scale_by_rate(), optax.trace(momentum, nesterov))


def rmsprop(*, rho: float, momentum: float, epsilon: float, centered: bool) -> Transformation:
    """`v = rho * v + (1 - rho) * g**2; w -= rate * g / sqrt(v + epsilon)`.

    Centered subtracts the square of the gradient's own moving average from v. Momentum sums the
    steps, with the learning rate in them. Hinton, 2012.
    """
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    parts = [scale(decay=rho, eps=epsilon), _scale_by_rate()]
    if momentum > 0:
        parts.append(optax.trace(momentum))
    return optax.chain(*parts)


def adagrad(*, initial_accumulator_value: float, epsilon: float) -> Transformation:
    """`v += g**2; w -= rate * g / sqrt(v + epsilon)`. Duchi et al., 2011."""
    return optax.chain(optax.scale_by_rss(initial_accumulator_value, epsilon), _scale_by_rate())


def adadelta(*, rho: float, epsilon: float) -> Transformation:
    """`w -= rate * g * rms(past steps) / rms(past gradients)`. Zeiler, 2012."""
    return optax.chain(optax.scale_by_adadelta(rho, epsilon), _scale_by_rate())


def lion(*, beta_1: float, beta_2: float) -> Transformation:
    """`w -= rate * sign(beta_1 * m + (1 - beta_1) * g)`. Chen et al., 2023."""
    return optax.chain(optax.scale_by_lion(beta_1, beta_2), _scale_by_rate())


def lamb(*, beta_1: float, beta_2: float, epsilon: float) -> Transformation:
    """Adam's step, scaled to the norm of each weight. You et al., 2020."""
    adam_step = optax.scale_by_adam(beta_1, beta_2, eps=epsilon)
    return optax.chain(adam_step, optax.scale_by_trust_ratio(), _scale_by_rate())


def adam(*, beta_1: float, beta_2: float, epsilon: float, amsgrad: bool) -> Transformation:
    """`w -= rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)`.

    Kingma and Ba, 2015, in the form of the end of their section 2, where epsilon is added before
    the bias of v is corrected; optax adds it after. With `amsgrad` v never shrinks (Reddi et al.,
    2018).
    """

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        momentum = moving(slots["momentum"], gradient, beta_1)
        velocity = moving(slots["velocity"], jnp.square(gradient), beta_2)
        new_slots = {"momentum": momentum, "velocity": velocity}
        if amsgrad:
            velocity = jnp.maximum(slots["velocity_hat"], velocity)
            new_slots["velocity_hat"] = velocity
        alpha = rate * jnp.sqrt(1 - power(beta_2, step)) / (1 - power(beta_1, step))
        return -(momentum * alpha) / (jnp.sqrt(velocity) + epsilon), new_slots

    names = ("momentum", "velocity", "velocity_hat") if amsgrad else ("momentum", "velocity")
    return slotted({name: jnp.zeros_like for name in names}, rule)


def adamax(*, beta_1: float, beta_2: float, epsilon: float) -> Transformation:
    """`u = max(beta_2 * u, |g|); w -= rate / (1 - beta_1**t) * m / (u + epsilon)`.

    Kingma and Ba, 2015, section 7.1. optax adds epsilon to |g| instead.
    """

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        momentum = moving(slots["momentum"], gradient, beta_1)
        norm = jnp.maximum(beta_2 * slots["norm"], jnp.abs(gradient))
        update = -(rate * momentum) / ((1 - power(beta_1, step)) * (norm + epsilon))
        return update, {"momentum": momentum, "norm": norm}

    return slotted({"momentum": jnp.zeros_like, "norm": jnp.zeros_like}, rule)


def nadam(*, beta_1: float, beta_2: float, epsilon: float) -> Transformation:
    """Adam with Nesterov momentum, whose momentum rises to beta_1 by `1 - 0.96**t / 2`.

    Dozat, 2015. `product` is the product of those momenta so far.
    """
    # Keras takes these two from 1 after it has rounded them to float32, here only.
    decay_1, decay_2 = np.float32(beta_1), np.float32(beta_2)

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        momentum = moving(slots["momentum"], gradient, decay_1)
        velocity = moving(slots["velocity"], jnp.square(gradient), decay_2)
        now = beta_1 * (1 - 0.5 * power(0.96, step))
        after = beta_1 * (1 - 0.5 * power(0.96, step + 1))
        product = slots["product"] * now
        ahead = after * momentum / (1 - product * after) + (1 - now) * gradient / (1 - product)
        spread = jnp.sqrt(velocity / (1 - power(beta_2, step)))
        new_slots = {"momentum": momentum, "velocity": velocity, "product": product}
        return -(ahead * rate) / (spread + epsilon), new_slots

    return slotted(
        {"momentum": jnp.zeros_like, "velocity": jnp.zeros_like, "product": _scalar(1.0)}, rule
    )


def ftrl(
    *,
    learning_rate_power: float,
    initial_accumulator_value: float,
    l1_regularization_strength: float,
    l2_regularization_strength: float,
    l2_shrinkage_regularization_strength: float,
    beta: float,
) -> Transformation:
    """Follow the regularized leader, per coordinate. McMahan et al., 2013, algorithm 1."""

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        accumulator = slots["accumulator"] + jnp.square(gradient)
        power = jnp.power(accumulator, -learning_rate_power)
        old_power = jnp.power(slots["accumulator"], -learning_rate_power)
        shrunk = gradient + 2 * l2_shrinkage_regularization_strength * weight
        linear = slots["linear"] + (shrunk - (power - old_power) / rate * weight)
        l1 = l1_regularization_strength
        quadratic = power / rate + 2 * (l2_regularization_strength + beta / (2 * rate))
        new_weight = (jnp.clip(linear, -l1, l1) - linear) / quadratic
        return new_weight - weight, {"accumulator": accumulator, "linear": linear}

    return slotted(
        {"accumulator": _filled(initial_accumulator_value), "linear": jnp.zeros_like}, rule
    )


def adafactor(
    *, beta_2_decay: float, epsilon_1: float, epsilon_2: float, clip_threshold: float
) -> Transformation:
    """RMS-scaled steps; a matrix keeps its squares' row and column means only.

    Shazeer and Stern, 2018, algorithms 4 and 5.
    """

    def second_moment(
        squares: Array, slots: dict[str, Array], decay: Array
    ) -> tuple[Array, dict[str, Array]]:
        if squares.ndim < 2:
            velocity = decay * slots["velocity"] + (1 - decay) * squares
            return velocity, {**slots, "velocity": velocity}
        row = decay * slots["row"] + (1 - decay) * jnp.mean(squares, axis=-1)
        column = decay * slots["column"] + (1 - decay) * jnp.mean(squares, axis=-2)
        share = row / jnp.mean(row, axis=-1, keepdims=True)
        velocity = share[..., :, None] * column[..., None, :]
        return velocity, {**slots, "row": row, "column": column}

    def rule(
        gradient: Array, weight: Array, slots: dict[str, Array], step: Array, rate: Any
    ) -> tuple[Array, dict[str, Array]]:
        decay = 1 - jnp.power(step, beta_2_decay)
        velocity, new_slots = second_moment(jnp.square(gradient) + epsilon_1, slots, decay)
        direction = gradient / jnp.sqrt(velocity)
        direction /= jnp.maximum(1.0, _root_mean_square(direction) / clip_threshold)
        size = jnp.maximum(epsilon_2, _root_mean_square(weight))
        return -(size * jnp.minimum(rate, 1 / jnp.sqrt(step)) * direction), new_slots

    none = _scalar(0.0)
    return slotted(
        {
            "row": lambda w: none(w) if w.ndim < 2 else jnp.zeros_like(w[..., 0]),
            "column": lambda w: none(w) if w.ndim < 2 else jnp.zeros_like(w[..., 0, :]),
            "velocity": lambda w: jnp.zeros_like(w) if w.ndim < 2 else none(w),
        },
        rule,
    )


def slotted(initial: Mapping[str, Callable[[Array], Array]], rule: Rule) -> Transformation:
    """A transformation that applies `rule` to each weight with its own slots."""

    def init(params: Any) -> SlotState:
        slots = {name: jax.tree.map(make, params) for name, make in initial.items()}
        return SlotState(jnp.zeros((), jnp.int32), slots)

    def update(
        gradients: Any, state: SlotState, params: Any, *, learning_rate: Any, **extra: Any
    ) -> tuple[Any, SlotState]:
        num_updates = optax.safe_increment(state.num_updates)
        step = num_updates.astype(jnp.float32)
        weights, structure = jax.tree.leaves(params), _structure(params)
        leaves = structure.flatten_up_to(gradients)
        columns = {name: structure.flatten_up_to(tree) for name, tree in state.slots.items()}
        updates, new_slots = [], []
        for index, (gradient, weight) in enumerate(zip(leaves, weights, strict=True)):
            slots = {name: column[index] for name, column in columns.items()}
            change, changed = rule(
                gradient.astype(weight.dtype), weight, slots, step, learning_rate
            )
            updates.append(change.astype(weight.dtype))
            new_slots.append({name: changed[name].astype(slots[name].dtype) for name in slots})
        trees = {name: structure.unflatten([s[name] for s in new_slots]) for name in columns}
        return structure.unflatten(updates), SlotState(num_updates, trees)

    return Transformation(init, update)


def _structure(tree: Any) -> Any:
    """The shape of a tree; jax gives its class no type."""
    return jax.tree.structure(tree)


def _scale_by_rate() -> Transformation:
    """`-learning_rate * update`."""

    def update(
        updates: Any, state: Any, params: Any = None, *, learning_rate: Any, **extra: Any
    ) -> tuple[Any, Any]:
        scaled = jax.tree.map(lambda u: u * jnp.asarray(-learning_rate, u.dtype), updates)
        return scaled, state

    return Transformation(lambda params: optax.EmptyState(), update)


def _with_weight_decay(
    rule: Transformation, weight_decay: float, decays: Callable[[str], bool]
) -> Transformation:
    """`w -= w * weight_decay * learning_rate`, then `rule` on the smaller weights."""

    def update(
        gradients: Any, state: Any, params: Any, *, learning_rate: Any, **extra: Any
    ) -> tuple[Any, Any]:
        def shrinkage(path: tuple[Any, ...], weight: Array) -> Array:
            if not decays(jax.tree_util.keystr(path, simple=True, separator="/")):
                return jnp.zeros_like(weight)
            return -(weight * weight_decay * jnp.asarray(learning_rate, weight.dtype))

        shrink = jax.tree_util.tree_map_with_path(shrinkage, params)
        smaller = jax.tree.map(jnp.add, params, shrink)
        updates, state = rule.update(
            gradients, state, smaller, learning_rate=learning_rate, **extra
        )
        return jax.tree.map(jnp.add, updates, shrink), state

    return Transformation(rule.init, update)


def _clip_each_by_norm(limit: float) -> optax.GradientTransformation:
    """Scale the gradient of each weight down to an L2 norm of at most `limit`."""

    def clip(gradient: Array) -> Array:
        norm = jnp.sqrt(jnp.sum(jnp.square(gradient)))
        return gradient * limit / jnp.maximum(norm, limit)

    return optax.stateless(lambda gradients, params: jax.tree.map(clip, gradients))


def moving(average: Array, value: Array, decay: float | np.float32) -> Array:
    """`decay * average + (1 - decay) * value`, rounded as Keras rounds it."""
    return average + (value - average) * (1 - decay)


def power(base: float, step: Array) -> Array:
    """`base ** step` in float32."""
    return jnp.power(jnp.float32(base), step)


def _root_mean_square(value: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(value)))


def _filled(value: float) -> Callable[[Array], Array]:
    return lambda weight: jnp.full_like(weight, value)


def _scalar(value: float) -> Callable[[Array], Array]:
    return lambda weight: jnp.full((), value, jnp.float32)
