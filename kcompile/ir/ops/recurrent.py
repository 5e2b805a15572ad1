"""Recurrent layers over whole sequences: LSTM, GRU and the simple RNN.

What they share: x is `[N, T, C]` and the sequence of results `[N, T, H]`; with `time_major` they
are `[T, N, C]` and `[T, N, H]`. The recurrence runs over T, from the end with `reverse`, and result
t of the sequence belongs to step t of x either way. Initial states `[N, H]` are 0 where they are
left out. A step where `mask` `[N, T]` is false leaves the states as they are; its result is the
state before it, or 0 with `zero_masked`. Kernels hold G gates side by side: `[C, G * H]` and
`[H, G * H]`. For training, `dropout` `[N, G, C]` and `recurrent_dropout` `[N, G, H]` are factors
of x and of the previous h in the products of each gate. The recurrence is computed in float32 or
better, and rounded at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import DType, TensorType, require_same_size


def _hard_sigmoid(slope: float) -> Callable[[Array], Array]:
    return lambda x: np.clip(x * x.dtype.type(slope) + x.dtype.type(0.5), 0, 1)


#: Functions of the gates, by name.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "hard_sigmoid": _hard_sigmoid(1 / 6),
    "hard_sigmoid_keras2": _hard_sigmoid(0.2),
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
}


@dataclass(frozen=True)
class _Recurrent(Op):
    """What the recurrent ops share."""

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reverse: bool = False
    zero_masked: bool = False
    time_major: bool = field(default=False, kw_only=True)

    num_gates: ClassVar[int]
    num_states: ClassVar[int] = 1

    def _check(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: tuple[TensorType | None, bool],
        states: tuple[TensorType | None, ...],
        mask: TensorType | None,
        factors: tuple[TensorType | None, TensorType | None],
    ) -> tuple[TensorType, ...]:
        """The types of the sequence and of the final states."""
        for name in (self.activation, self.recurrent_activation):
            require(name in ACTIVATIONS, f"'{name}' is not one of {', '.join(ACTIVATIONS)}")
        require(x.dtype.is_floating, "needs floating-point numbers")
        require(x.rank == 3, f"needs x {'[T, N, C]' if self.time_major else '[N, T, C]'}")
        require(recurrent_kernel.rank == 2, "needs a recurrent kernel [H, G * H]")
        first, second, channels = x.shape
        batch, time = (second, first) if self.time_major else (first, second)
        units = recurrent_kernel.shape[0]
        width = units * self.num_gates
        bias_type, is_pair = bias
        expected = [
            ("kernel", kernel, (channels, width)),
            ("recurrent_kernel", recurrent_kernel, (units, width)),
            ("bias", bias_type, (2, width) if is_pair else (width,)),
            *(("initial state", state, (batch, units)) for state in states),
            ("dropout", factors[0], (batch, self.num_gates, channels)),
            ("recurrent_dropout", factors[1], (batch, self.num_gates, units)),
        ]
        for what, given, shape in expected:
            if given is None:
                continue
            require(given.dtype is x.dtype, f"{what} must have the element type of x")
            require(given.rank == len(shape), f"{what} must have rank {len(shape)}")
            for size, needed in zip(given.shape, shape, strict=True):
                require_same_size(needed, size, f"{what} needs size {needed}, not {size}")
        if mask is not None:
            require(mask.dtype is DType.BOOL and mask.rank == 2, "mask must be bool [N, T]")
            for size, needed in zip(mask.shape, (batch, time), strict=True):
                require_same_size(needed, size, f"mask needs size {needed}, not {size}")
        final = x.with_shape((batch, units))
        return (x.with_shape((first, second, units)), *(final,) * self.num_states)

    def _run(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None,
        states: tuple[Array | None, ...],
        mask: Array | None,
        dropout: Array | None,
        recurrent_dropout: Array | None,
    ) -> tuple[Array, ...]:
        """The recurrence, one step after the other, with the `_step` of the op."""
        dtype = np.promote_types(x.dtype, np.float32)
        steps = x if self.time_major else x.swapaxes(0, 1)
        (time, batch, _), units = steps.shape, recurrent_kernel.shape[0]
        weights = (kernel.astype(dtype), recurrent_kernel.astype(dtype))
        wide_bias = None if bias is None else bias.astype(dtype)
        factors = (dropout, recurrent_dropout)
        now = tuple(
            np.zeros((batch, units), dtype) if state is None else state.astype(dtype)
            for state in states
        )
        y = np.zeros((time, batch, units), dtype)
        for t in reversed(range(time)) if self.reverse else range(time):
            new = self._step(steps[t].astype(dtype), now, weights, wide_bias, factors)
            if mask is None:
                y[t] = new[0]
                now = new
                continue
            kept = mask[:, t, None]
            y[t] = np.where(kept, new[0], 0 if self.zero_masked else now[0])
            now = tuple(np.where(kept, a, b) for a, b in zip(new, now, strict=True))
        y = y if self.time_major else y.swapaxes(0, 1)
        return tuple(result.astype(x.dtype) for result in (y, *now))

    def _step(
        self,
        x: Array,
        states: tuple[Array, ...],
        weights: tuple[Array, Array],
        bias: Array | None,
        factors: tuple[Array | None, Array | None],
    ) -> tuple[Array, ...]:
        """The next states from x `[N, C]`; the first is h."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def _gates(self, x: Array, kernel: Array, factors: Array | None) -> list[Array]:
        """`x w_g` for each gate g, x times its factors."""
        blocks = np.split(kernel, self.num_gates, axis=1)
        if factors is None:
            return [x @ block for block in blocks]
        return [(x * factors[:, g].astype(x.dtype)) @ block for g, block in enumerate(blocks)]

    def _biases(self, bias: Array | None) -> list[Array]:
        if bias is None:
            return [np.zeros((), np.float32)] * self.num_gates
        return np.split(bias, self.num_gates)


@dataclass(frozen=True)
class Lstm(_Recurrent):
    """`i, f, o = s(x w + h r + b)` of their gates, `c' = f * c + i * a(x w + h r + b)`,
    `h' = o * a(c')` (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    Gates are in the order i, f, c, o; a is `activation`, s `recurrent_activation`. Results are the
    sequence of h `[N, T, H]` and the final h and c.
    """

    num_gates = 4
    num_states = 2

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        initial_h: TensorType | None = None,
        initial_c: TensorType | None = None,
        mask: TensorType | None = None,
        dropout: TensorType | None = None,
        recurrent_dropout: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        states, factors = (initial_h, initial_c), (dropout, recurrent_dropout)
        return self._check(x, kernel, recurrent_kernel, (bias, False), states, mask, factors)

    def reference(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
        mask: Array | None = None,
        dropout: Array | None = None,
        recurrent_dropout: Array | None = None,
    ) -> tuple[Array, ...]:
        states = (initial_h, initial_c)
        return self._run(
            x, kernel, recurrent_kernel, bias, states, mask, dropout, recurrent_dropout
        )

    def _step(
        self,
        x: Array,
        states: tuple[Array, ...],
        weights: tuple[Array, Array],
        bias: Array | None,
        factors: tuple[Array | None, Array | None],
    ) -> tuple[Array, ...]:
        activation = ACTIVATIONS[self.activation]
        gate = ACTIVATIONS[self.recurrent_activation]
        h, c = states
        sums = zip(
            self._gates(x, weights[0], factors[0]),
            self._gates(h, weights[1], factors[1]),
            self._biases(bias),
            strict=True,
        )
        i, f, candidate, o = (a + b + d for a, b, d in sums)
        c = gate(f) * c + gate(i) * activation(candidate)
        return gate(o) * activation(c), c


@dataclass(frozen=True)
class Gru(_Recurrent):
    """`z, r = s(x w + h r + b)` of their gates, `h' = z * h + (1 - z) * n` (Cho et al., 2014).

    The candidate is `n = a(x w + b + r * (h r + b'))` with `reset_after`, the bias then being
    `[2, 3 * H]`, for x and for h; without, it is `n = a(x w + b + (r * h) r)`, the bias `[3 * H]`.
    Gates are in the order z, r, n. Results are the sequence of h `[N, T, H]` and the final h.
    """

    reset_after: bool = True
    num_gates = 3

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        initial_h: TensorType | None = None,
        mask: TensorType | None = None,
        dropout: TensorType | None = None,
        recurrent_dropout: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        pair, factors = (bias, self.reset_after), (dropout, recurrent_dropout)
        return self._check(x, kernel, recurrent_kernel, pair, (initial_h,), mask, factors)

    def reference(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        initial_h: Array | None = None,
        mask: Array | None = None,
        dropout: Array | None = None,
        recurrent_dropout: Array | None = None,
    ) -> tuple[Array, ...]:
        states = (initial_h,)
        return self._run(
            x, kernel, recurrent_kernel, bias, states, mask, dropout, recurrent_dropout
        )

    def _step(
        self,
        x: Array,
        states: tuple[Array, ...],
        weights: tuple[Array, Array],
        bias: Array | None,
        factors: tuple[Array | None, Array | None],
    ) -> tuple[Array, ...]:
        activation = ACTIVATIONS[self.activation]
        gate = ACTIVATIONS[self.recurrent_activation]
        (h,) = states
        own = bias[0] if bias is not None and self.reset_after else bias
        inner = self._biases(bias[1] if bias is not None and self.reset_after else None)
        x_z, x_r, x_n = (
            a + b
            for a, b in zip(self._gates(x, weights[0], factors[0]), self._biases(own), strict=True)
        )
        h_z, h_r, h_n = (
            a + b for a, b in zip(self._gates(h, weights[1], factors[1]), inner, strict=True)
        )
        z, r = gate(x_z + h_z), gate(x_r + h_r)
        if self.reset_after:
            n = activation(x_n + r * h_n)
        else:
            n = activation(x_n + self._gates(r * h, weights[1], factors[1])[2])
        return (z * h + (1 - z) * n,)


@dataclass(frozen=True)
class SimpleRnn(_Recurrent):
    """`h' = a(x w + h r + b)` (Elman, 1990). `recurrent_activation` says nothing here.

    Results are the sequence of h `[N, T, H]` and the final h.
    """

    num_gates = 1

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        initial_h: TensorType | None = None,
        mask: TensorType | None = None,
        dropout: TensorType | None = None,
        recurrent_dropout: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        states, factors = (initial_h,), (dropout, recurrent_dropout)
        return self._check(x, kernel, recurrent_kernel, (bias, False), states, mask, factors)

    def reference(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        initial_h: Array | None = None,
        mask: Array | None = None,
        dropout: Array | None = None,
        recurrent_dropout: Array | None = None,
    ) -> tuple[Array, ...]:
        states = (initial_h,)
        return self._run(
            x, kernel, recurrent_kernel, bias, states, mask, dropout, recurrent_dropout
        )

    def _step(
        self,
        x: Array,
        states: tuple[Array, ...],
        weights: tuple[Array, Array],
        bias: Array | None,
        factors: tuple[Array | None, Array | None],
    ) -> tuple[Array, ...]:
        (from_x,) = self._gates(x, weights[0], factors[0])
        (from_h,) = self._gates(states[0], weights[1], factors[1])
        return (ACTIVATIONS[self.activation](from_x + from_h + self._biases(bias)[0]),)
