"""Long short-term memories whose products are convolutions (Shi et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.layers.convolutional import check_format, check_rank, per_axis
from kcompile.layers.recurrent_cells import LSTMCell, Results
from kcompile.layers.recurrent_layers import CellLayer, cell_options
from kcompile.layers.stepping import run_steps


class ConvLSTMCell(LSTMCell):
    """One step: x `[N, S..., C]`, h and c `[N, S'..., filters]`.

    `i, f, o = recurrent_activation(x * w + h * r + b)`,
    `c' = f c + i activation(x * w + h * r + b)` and `h' = o activation(c')`,
    where `*` is a convolution: with strides, padding and dilation over x, and with none over h,
    whose size it keeps.
    """

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, **kwargs)
        where = f"layer '{self.name}'"
        self.rank = rank
        self.filters = filters
        self.kernel_size = per_axis(kernel_size, rank, "kernel_size", where)
        self.strides = per_axis(strides, rank, "strides", where)
        self.padding = padding.lower()
        self.data_format = check_format(data_format, where)
        self.dilation_rate = per_axis(dilation_rate, rank, "dilation_rate", where)
        if self.padding not in ("valid", "same"):
            raise SpecError(f"padding is valid or same, not {padding!r}", where=where)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise SpecError("strides and dilation_rate cannot both be more than 1", where=where)

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == CHANNELS_LAST else 1

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.rank)
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ShapeError("needs a number of channels", where=f"layer '{self.name}'")
        self._input_shape = tuple(input_shape[1:])
        self._add_weights(
            (*self.kernel_size, channels, 4 * self.units),
            (*self.kernel_size, self.units, 4 * self.units),
        )

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros for h and c; the sizes of the input have to be known."""
        if None in self._input_shape:
            raise ShapeError(
                f"the states need fixed sizes, the input has {self._input_shape}",
                where=f"layer '{self.name}'",
            )
        x = ops.zeros((batch_size, *self._input_shape), self.compute_dtype)
        return self._states_like(self._convolve_input([x] * 4))

    def _states_like(self, gates: Sequence[Any]) -> list[Any]:
        return [ops.zeros_like(gates[0]) for _ in range(2)]

    def _convolve_input(self, inputs: Sequence[Any]) -> list[Any]:
        """`x * w + b` for each gate, of x for each gate."""
        options = (self.strides, self.padding, self.data_format, self.dilation_rate)
        gates = self._convolve(inputs, self.kernel, options)
        if self.bias is None:
            return gates
        last = self.data_format == CHANNELS_LAST
        shape = (self.units,) if last else (self.units, *(1,) * self.rank)
        biases = ops.split(self.bias, 4)
        return [y + ops.reshape(b, shape) for y, b in zip(gates, biases, strict=True)]

    def _convolve_state(self, states: Sequence[Any]) -> list[Any]:
        return self._convolve(states, self.recurrent_kernel, (1, "same", self.data_format))

    def _convolve(self, inputs: Sequence[Any], kernel: Any, options: tuple[Any, ...]) -> list[Any]:
        """A convolution for each gate; one for all where they have the same input."""
        if all(x is inputs[0] for x in inputs):
            return ops.split(ops.conv(inputs[0], kernel, *options), 4, self._channel_axis)
        kernels = ops.split(kernel, 4, -1)
        return [ops.conv(x, w, *options) for x, w in zip(inputs, kernels, strict=True)]

    def unfold(
        self,
        x: Any,
        states: Sequence[Any] | None,
        mask: Any,
        training: bool,
        reverse: bool = False,
        zero_masked: bool = False,
        unroll: bool = False,
    ) -> Results:
        batch, time, *sizes = x.type.shape
        noise = self._noise_like(training, self.dropout, (batch, 1, *sizes))
        merged = [ops.reshape(x * n, (batch * time, *sizes)) for n in noise] if noise else None
        gates = self._convolve_input(merged or [ops.reshape(x, (batch * time, *sizes))] * 4)
        result = gates[0].type.shape[1:]
        given = ops.concatenate(
            [ops.reshape(y, (batch, time, *result)) for y in gates], self._gate_axis
        )
        if states is None:
            zeros = ops.zeros((batch, *result), self.compute_dtype)
            states = [zeros, zeros]
        factors = self._noise_like(training, self.recurrent_dropout, states[0].type.shape)

        def step(now: Any, before: Any) -> tuple[Any, list[Any]]:
            h, c = before
            inner = self._convolve_state([h * n for n in factors] if factors else [h] * 4)
            parts = zip(ops.split(now, 4, self._channel_axis), inner, strict=True)
            i, f, g, o = (a + b for a, b in parts)
            gate, function = self.recurrent_activation, self.activation
            c = gate(f) * c + gate(i) * function(g)
            h = gate(o) * function(c)
            return h, [h, c]

        return run_steps(step, given, list(states), mask, reverse, zero_masked, unroll)

    @property
    def _gate_axis(self) -> int:
        """The axis of channels where there are steps, too."""
        return -1 if self.data_format == CHANNELS_LAST else 2

    def _noise_like(self, training: bool, rate: float, shape: tuple[Any, ...]) -> list[Any]:
        """Factors for each gate, the same for all steps; none without dropout."""
        if not training or not 0 < rate < 1:
            return []
        ones = ops.ones(shape, self.compute_dtype)
        return [ops.dropout(ones, rate, None, self.seed) for _ in range(4)]


class ConvLSTM(CellLayer):
    """A `ConvLSTMCell` over x `[N, T, S..., C]`.

    Args: as in Keras.
    """

    num_axes: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = ConvLSTMCell(
            self.num_axes,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **cell_options("conv_lstm_cell", kwargs),
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )

    def build(self, sequences_shape: Any) -> None:
        if len(sequences_shape) != self.num_axes + 3:
            raise ShapeError(
                f"needs an input of rank {self.num_axes + 3} (batch, steps, {self.num_axes}"
                f" spatial, channels), got shape {tuple(sequences_shape)}",
                where=f"layer '{self.name}'",
            )
        super().build(sequences_shape)


class ConvLSTM1D(ConvLSTM):
    """A `ConvLSTMCell` over x `[N, T, W, C]`.

    Args: as in Keras.
    """

    num_axes = 1


class ConvLSTM2D(ConvLSTM):
    """A `ConvLSTMCell` over x `[N, T, H, W, C]`.

    Args: as in Keras.
    """

    num_axes = 2


class ConvLSTM3D(ConvLSTM):
    """A `ConvLSTMCell` over x `[N, T, D, H, W, C]`.

    Args: as in Keras.
    """

    num_axes = 3
