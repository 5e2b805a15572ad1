"""Recurrent layers for training on the CPU.

The gradient of the recurrent kernel is one product over all steps, after the scan back, where JAX's
own adds a product to it at every step.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from kcompile.ir.ops import Gru, Lstm, SimpleRnn
from kcompile.runtimes.jax import recurrent
from kcompile.runtimes.jax.precision import PRECISION
from kcompile.runtimes.jax.recurrent import States, first_states, inputs, masked, steps_of
from kcompile.runtimes.jax.table import lowers_for_training

Recurrent: TypeAlias = Lstm | Gru | SimpleRnn
#: What a cell makes of the products: their sum, or each of them.
Products: TypeAlias = tuple[jax.Array, ...]


@lowers_for_training("cpu", Lstm)
def lstm_for_training(
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
) -> States:
    """The default if h is dropped gate by gate."""
    states = (initial_h, initial_c)
    if recurrent_dropout is not None:
        return recurrent.lstm(
            op, x, kernel, recurrent_kernel, bias, *states, mask, dropout, recurrent_dropout
        )
    from_x = inputs(steps_of(op, x), kernel, bias, dropout, 4)
    return _run(op, x, from_x, recurrent_kernel, None, states, mask)


@lowers_for_training("cpu", Gru)
def gru_for_training(
    op: Gru,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    initial_h: jax.Array | None = None,
    mask: jax.Array | None = None,
    dropout: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
) -> States:
    """The default if h is dropped gate by gate, or reset before the product."""
    if recurrent_dropout is not None or not op.reset_after:
        return recurrent.gru(
            op, x, kernel, recurrent_kernel, bias, initial_h, mask, dropout, recurrent_dropout
        )
    own, other = (None, None) if bias is None else (bias[0], bias[1])
    from_x = inputs(steps_of(op, x), kernel, own, dropout, 3)
    return _run(op, x, from_x, recurrent_kernel, other, (initial_h,), mask)


@lowers_for_training("cpu", SimpleRnn)
def simple_rnn_for_training(
    op: SimpleRnn,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    initial_h: jax.Array | None = None,
    mask: jax.Array | None = None,
    dropout: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
) -> States:
    """The default if h is dropped."""
    if recurrent_dropout is not None:
        return recurrent.simple_rnn(
            op, x, kernel, recurrent_kernel, bias, initial_h, mask, dropout, recurrent_dropout
        )
    from_x = inputs(steps_of(op, x), kernel, bias, dropout, 1)
    return _run(op, x, from_x, recurrent_kernel, None, (initial_h,), mask)


def _run(
    op: Recurrent,
    x: jax.Array,
    from_x: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None,
    initial: tuple[jax.Array | None, ...],
    mask: jax.Array | None,
) -> States:
    states = first_states(from_x, recurrent_kernel, initial)
    kernel = recurrent_kernel.astype(from_x.dtype)
    bias = None if bias is None else bias.astype(from_x.dtype)
    y, final = _recurrence(op, from_x, kernel, bias, states, None if mask is None else mask.T)
    return tuple(result.astype(x.dtype) for result in (steps_of(op, y), *final))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(
    op: Recurrent,
    from_x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    states: States,
    kept: jax.Array | None,
) -> tuple[jax.Array, States]:
    """The results `[T, N, H]` and the last states, given the products with x `[T, N, G * H]`."""

    def body(old: States, now: Any) -> tuple[States, jax.Array]:
        return _step(op, _products(op, now[0], old[0], kernel, bias), old, now[1])

    final, y = lax.scan(body, states, (from_x, kept), reverse=op.reverse)
    return y, final


def _forward(
    op: Recurrent,
    from_x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    states: States,
    kept: jax.Array | None,
) -> tuple[tuple[jax.Array, States], Any]:
    """Keeps of each step what its gradient needs, so that no activation is computed again."""

    def body(old: States, now: Any) -> tuple[States, Any]:
        from_x, kept = now
        products = _products(op, from_x, old[0], kernel, bias)
        (new, y), gradients_of = jax.vjp(
            lambda products, old: _step(op, products, old, kept), products, old
        )
        return new, (y, old[0], gradients_of)

    final, (y, before, gradients_of) = lax.scan(body, states, (from_x, kept), reverse=op.reverse)
    return (y, final), (kernel, bias, before, gradients_of)


def _backward(op: Recurrent, saved: Any, gradients: tuple[jax.Array, States]) -> Any:
    kernel, bias, before, gradients_of = saved

    def body(dstates: States, now: Any) -> tuple[States, Products]:
        dy, gradients_of = now
        dproducts, (dh, *others) = gradients_of((dstates, dy))
        dh = dh + jnp.matmul(dproducts[-1], kernel.T, precision=PRECISION)
        return (dh, *others), dproducts

    steps = (gradients[0], gradients_of)
    dstates, dproducts = lax.scan(body, gradients[1], steps, reverse=not op.reverse)
    hs, from_hs = (array.reshape(-1, array.shape[-1]) for array in (before, dproducts[-1]))
    dkernel = jnp.matmul(hs.T, from_hs, precision=PRECISION)
    dbias = None if bias is None else jnp.sum(from_hs, axis=0)
    return dproducts[0], dkernel, dbias, dstates, None


_recurrence.defvjp(_forward, _backward)


def _products(
    op: Recurrent, from_x: jax.Array, h: jax.Array, kernel: jax.Array, bias: jax.Array | None
) -> Products:
    """What the cell takes; in a GRU the product with h is also multiplied by a gate."""
    from_h = jnp.matmul(h, kernel, precision=PRECISION)
    from_h = from_h if bias is None else from_h + bias
    return (from_x, from_h) if isinstance(op, Gru) else (from_x + from_h,)


def _step(
    op: Recurrent, products: Products, old: States, kept: jax.Array | None
) -> tuple[States, jax.Array]:
    return masked(op, _cell(op, products, old), old, kept)


def _cell(op: Recurrent, products: Products, states: States) -> States:
    if isinstance(op, Gru):
        return recurrent.gru_cell(op, products[0], products[1], states)
    nothing = jnp.zeros((), products[0].dtype)
    if isinstance(op, Lstm):
        return recurrent.lstm_cell(op, products[0], nothing, states)
    return recurrent.simple_cell(op, products[0], nothing, states)
