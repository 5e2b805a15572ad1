"""Recurrent layers on JAX: products with x for all steps at once, then a scan over time."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import Gru, Lstm, SimpleRnn
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.table import lowers

States = tuple[jax.Array, ...]
#: From the products with x of one step and the states to the next states.
Step = Callable[[jax.Array, States], States]

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": jax.nn.elu,
    "hard_sigmoid": lambda x: jnp.clip(x * (1 / 6) + 0.5, 0.0, 1.0),
    "hard_sigmoid_keras2": lambda x: jnp.clip(x * 0.2 + 0.5, 0.0, 1.0),
    "linear": lambda x: x,
    "relu": lambda x: jnp.maximum(x, 0),
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "tanh": jnp.tanh,
}


@lowers(Lstm)
def lstm(
    op: Lstm,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    initial_h: jax.Array | None = None,
    initial_c: jax.Array | None = None,
    mask: jax.Array | None = None,
    dropout: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
) -> tuple[jax.Array, ...]:
    def step(from_x: jax.Array, states: States) -> States:
        return lstm_cell(
            op, from_x, project(states[0], recurrent_kernel, recurrent_dropout, 4), states
        )

    from_x = inputs(steps_of(op, x), kernel, bias, dropout, 4)
    return scan_steps(op, step, x, from_x, recurrent_kernel, (initial_h, initial_c), mask)


@lowers(Gru)
def gru(
    op: Gru,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    initial_h: jax.Array | None = None,
    mask: jax.Array | None = None,
    dropout: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
) -> tuple[jax.Array, ...]:
    activation, gate = _ACTIVATIONS[op.activation], _ACTIVATIONS[op.recurrent_activation]
    units = recurrent_kernel.shape[0]
    own = bias[0] if bias is not None and op.reset_after else bias

    def after(from_x: jax.Array, states: States) -> States:
        from_h = project(states[0], recurrent_kernel, recurrent_dropout, 3)
        if bias is not None:
            from_h = from_h + bias[1].astype(from_h.dtype)
        return gru_cell(op, from_x, from_h, states)

    def before(from_x: jax.Array, states: States) -> States:
        (h,) = states
        x_z, x_r, x_n = jnp.split(from_x, 3, axis=-1)
        gates = None if recurrent_dropout is None else recurrent_dropout[:, :2]
        from_h = project(h, recurrent_kernel[:, : 2 * units], gates, 2)
        z, r = gate(x_z + from_h[:, :units]), gate(x_r + from_h[:, units:])
        rest = None if recurrent_dropout is None else recurrent_dropout[:, 2:]
        n = activation(x_n + project(r * h, recurrent_kernel[:, 2 * units :], rest, 1))
        return (z * h + (1 - z) * n,)

    from_x = inputs(steps_of(op, x), kernel, own, dropout, 3)
    step = after if op.reset_after else before
    return scan_steps(op, step, x, from_x, recurrent_kernel, (initial_h,), mask)


@lowers(SimpleRnn)
def simple_rnn(
    op: SimpleRnn,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    initial_h: jax.Array | None = None,
    mask: jax.Array | None = None,
    dropout: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
) -> tuple[jax.Array, ...]:
    def step(from_x: jax.Array, states: States) -> States:
        from_h = project(states[0], recurrent_kernel, recurrent_dropout, 1)
        return simple_cell(op, from_x, from_h, states)

    from_x = inputs(steps_of(op, x), kernel, bias, dropout, 1)
    return scan_steps(op, step, x, from_x, recurrent_kernel, (initial_h,), mask)


def lstm_cell(op: Lstm, from_x: jax.Array, from_h: jax.Array, states: States) -> States:
    """The next h and c, given the products with x and with h, the bias in either."""
    activation, gate = _ACTIVATIONS[op.activation], _ACTIVATIONS[op.recurrent_activation]
    i, f, candidate, o = jnp.split(from_x + from_h, 4, axis=-1)
    c = gate(f) * states[1] + gate(i) * activation(candidate)
    return gate(o) * activation(c), c


def gru_cell(op: Gru, from_x: jax.Array, from_h: jax.Array, states: States) -> States:
    """The next h of a layer that resets after the product with h; each product with its bias."""
    activation, gate = _ACTIVATIONS[op.activation], _ACTIVATIONS[op.recurrent_activation]
    x_z, x_r, x_n = jnp.split(from_x, 3, axis=-1)
    h_z, h_r, h_n = jnp.split(from_h, 3, axis=-1)
    z = gate(x_z + h_z)
    n = activation(x_n + gate(x_r + h_r) * h_n)
    return (z * states[0] + (1 - z) * n,)


def simple_cell(op: SimpleRnn, from_x: jax.Array, from_h: jax.Array, states: States) -> States:
    """The next h."""
    return (_ACTIVATIONS[op.activation](from_x + from_h),)


def steps_of(op: Lstm | Gru | SimpleRnn, x: jax.Array) -> jax.Array:
    """x, or the sequence of results, between the op's order and `[T, N, ...]`."""
    return x if op.time_major else jnp.swapaxes(x, 0, 1)


def inputs(
    steps: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    factors: jax.Array | None,
    num_gates: int,
) -> jax.Array:
    """The products with x for all steps, `[T, N, G * H]`, with the bias."""
    y = project(_wide(steps), kernel, factors, num_gates)
    return y if bias is None else y + bias.astype(y.dtype)


def project(
    x: jax.Array, kernel: jax.Array, factors: jax.Array | None, num_gates: int
) -> jax.Array:
    """`x w`, x `[..., N, C]` being multiplied by the `factors` `[N, G, C]` of each gate."""
    kernel = kernel.astype(x.dtype)
    if factors is None:
        return jnp.matmul(x, kernel, precision=PRECISION)
    blocks = jnp.split(kernel, num_gates, axis=1)
    parts = [
        jnp.matmul(x * factors[:, g].astype(x.dtype), block, precision=PRECISION)
        for g, block in enumerate(blocks)
    ]
    return jnp.concatenate(parts, axis=-1)


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def scan_steps(
    op: Lstm | Gru | SimpleRnn,
    step: Step,
    x: jax.Array,
    from_x: jax.Array,
    recurrent_kernel: jax.Array,
    initial: tuple[jax.Array | None, ...],
    mask: jax.Array | None,
) -> tuple[jax.Array, ...]:
    states = first_states(from_x, recurrent_kernel, initial)

    def body(
        states: tuple[jax.Array, ...], now: tuple[jax.Array, jax.Array | None]
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        from_x, kept = now
        return masked(op, step(from_x, states), states, kept)

    steps = (from_x, None if mask is None else mask.T)
    final, y = lax.scan(body, states, steps, reverse=op.reverse)
    return tuple(result.astype(x.dtype) for result in (steps_of(op, y), *final))


def first_states(
    from_x: jax.Array, recurrent_kernel: jax.Array, initial: tuple[jax.Array | None, ...]
) -> States:
    """The states before the first step, zeros where none are given."""
    zeros = jnp.zeros((from_x.shape[1], recurrent_kernel.shape[0]), from_x.dtype)
    return tuple(zeros if state is None else state.astype(zeros.dtype) for state in initial)


def masked(
    op: Lstm | Gru | SimpleRnn, new: States, old: States, kept: jax.Array | None
) -> tuple[States, jax.Array]:
    """States and result of a step that counts for the rows in `kept` `[N]` only."""
    if kept is None:
        return new, new[0]
    kept = kept[:, None]
    y = jnp.where(kept, new[0], 0 if op.zero_masked else old[0])
    return tuple(jnp.where(kept, a, b) for a, b in zip(new, old, strict=True)), y
