"""Bidirectional recurrent layers on JAX: both directions, side by side."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kcompile.ir.ops import BidirectionalGru, BidirectionalLstm, BidirectionalRnn
from kcompile.runtimes.jax.recurrent import gru, lstm, simple_rnn
from kcompile.runtimes.jax.table import lowers


@lowers(BidirectionalLstm)
def bidirectional_lstm(op: BidirectionalLstm, *operands: jax.Array | None) -> tuple[jax.Array, ...]:
    forward, backward = op.split(*operands)
    return _joined(
        lstm(op.direction(reverse=False), *forward), lstm(op.direction(reverse=True), *backward)
    )


@lowers(BidirectionalGru)
def bidirectional_gru(op: BidirectionalGru, *operands: jax.Array | None) -> tuple[jax.Array, ...]:
    forward, backward = op.split(*operands)
    return _joined(
        gru(op.direction(reverse=False), *forward), gru(op.direction(reverse=True), *backward)
    )


@lowers(BidirectionalRnn)
def bidirectional_rnn(op: BidirectionalRnn, *operands: jax.Array | None) -> tuple[jax.Array, ...]:
    forward, backward = op.split(*operands)
    return _joined(
        simple_rnn(op.direction(reverse=False), *forward),
        simple_rnn(op.direction(reverse=True), *backward),
    )


def _joined(
    forward: tuple[jax.Array, ...], backward: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    return tuple(jnp.concatenate(pair, axis=-1) for pair in zip(forward, backward, strict=True))
