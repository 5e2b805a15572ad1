"""Two recurrent layers on one x, forward and backward, with their results side by side.

The sequence is `[N, T, 2 * H]` and a final state `[N, 2 * H]`: the forward direction's, then the
backward one's. Result t of the sequence belongs to step t of x for both. The backward direction has
weights and initial states of its own, and both have a bias, or initial states, if one has. Where
`mask` is false the sequence is 0. All else is as in `kcompile.ir.ops.recurrent`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.recurrent import Gru, Lstm, SimpleRnn
from kcompile.ir.types import TensorType

#: `infer` or `reference` operands of the forward direction, then of the backward one.
_Operands = tuple[tuple[Any, ...], tuple[Any, ...]]


@dataclass(frozen=True)
class _Bidirectional(Op):
    """What the bidirectional ops share."""

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    time_major: bool = field(default=False, kw_only=True)

    def direction(self, *, reverse: bool) -> Lstm | Gru | SimpleRnn:
        """The op of one direction."""
        raise NotImplementedError(f"{type(self).__name__} has no directions")

    def split(self, x: Any, *operands: Any) -> _Operands:
        """The operands of each direction, in the order of its op; all but the mask are pairs."""
        names = self.operand_names()[1:]
        given = dict(zip(names, operands, strict=False))
        order = type(self.direction(reverse=False)).operand_names()[1:]
        shared = [name for name in order if name in names]
        forward = tuple(given.get(name) for name in shared)
        backward = tuple(
            given.get(name if name == "mask" else f"backward_{name}") for name in shared
        )
        return (x, *forward), (x, *backward)

    def _types(self, operands: _Operands) -> tuple[TensorType, ...]:
        forward, backward = operands
        for a, b in zip(forward, backward, strict=True):
            require((a is None) == (b is None), "needs each operand for both directions or none")
        ahead = self.direction(reverse=False).infer(*forward)
        back = self.direction(reverse=True).infer(*backward)
        require(ahead == back, "needs as many units in both directions")
        return tuple(
            type.with_shape((*type.shape[:-1], type.shape[-1] + type.shape[-1])) for type in ahead
        )

    def reference(self, x: Array, *operands: Array | None) -> tuple[Array, ...]:
        forward, backward = self.split(x, *operands)
        ahead = self.direction(reverse=False).reference(*forward)
        back = self.direction(reverse=True).reference(*backward)
        return tuple(np.concatenate(pair, axis=-1) for pair in zip(ahead, back, strict=True))


@dataclass(frozen=True)
class BidirectionalLstm(_Bidirectional):
    """`y = [lstm(x), lstm(x) from the end]`, and so for the final h and c."""

    def direction(self, *, reverse: bool) -> Lstm:
        functions = (self.activation, self.recurrent_activation)
        return Lstm(*functions, reverse, True, time_major=self.time_major)

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        backward_kernel: TensorType,
        backward_recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        backward_bias: TensorType | None = None,
        initial_h: TensorType | None = None,
        backward_initial_h: TensorType | None = None,
        initial_c: TensorType | None = None,
        backward_initial_c: TensorType | None = None,
        mask: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        return self._types(
            self.split(
                x,
                kernel,
                recurrent_kernel,
                backward_kernel,
                backward_recurrent_kernel,
                bias,
                backward_bias,
                initial_h,
                backward_initial_h,
                initial_c,
                backward_initial_c,
                mask,
            )
        )


@dataclass(frozen=True)
class _OneState(_Bidirectional):
    """What those whose only state is h share."""

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        backward_kernel: TensorType,
        backward_recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        backward_bias: TensorType | None = None,
        initial_h: TensorType | None = None,
        backward_initial_h: TensorType | None = None,
        mask: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        return self._types(
            self.split(
                x,
                kernel,
                recurrent_kernel,
                backward_kernel,
                backward_recurrent_kernel,
                bias,
                backward_bias,
                initial_h,
                backward_initial_h,
                mask,
            )
        )


@dataclass(frozen=True)
class BidirectionalGru(_OneState):
    """`y = [gru(x), gru(x) from the end]`, and so for the final h."""

    reset_after: bool = True

    def direction(self, *, reverse: bool) -> Gru:
        functions = (self.activation, self.recurrent_activation)
        return Gru(*functions, reverse, True, self.reset_after, time_major=self.time_major)


@dataclass(frozen=True)
class BidirectionalRnn(_OneState):
    """`y = [simple_rnn(x), simple_rnn(x) from the end]`, and so for the final h."""

    def direction(self, *, reverse: bool) -> SimpleRnn:
        functions = (self.activation, self.recurrent_activation)
        return SimpleRnn(*functions, reverse, True, time_major=self.time_major)
