"""Cells: one step of a recurrent layer, with its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import kcompile.ops as ops
from kcompile import activations, constraints, initializers, regularizers
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.ir.ops.recurrent import ACTIVATIONS
from kcompile.layers.base import Layer
from kcompile.ops.trace import emit

#: Results of a sequence: `[N, T, H]`, result t belonging to step t; and the final states.
Results = tuple[Any, list[Any]]


class RecurrentCell(Layer):
    """What the cells share: weights, dropout, and the op that runs whole sequences.

    A sequence's recurrence is one op, which every runtime has natively, so a cell does not spell
    out its step: a single step is a sequence of length 1.
    """

    num_gates: ClassVar[int] = 1
    num_states: ClassVar[int] = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        if self.activity_regularizer is not None:
            raise NotImplementedError(
                f"layer '{self.name}': give the recurrent layer, not its cell, activity_regularizer"
            )
        if not isinstance(units, int) or units < 1:
            raise SpecError(
                f"units must be a positive integer, got {units!r}", where=f"layer '{self.name}'"
            )
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        #: Keras's implementation 1 draws noise for each gate, 2 for all gates together.
        self._noise_per_gate = self.recurrent_dropout != 0 or implementation == 1

    @property
    def state_size(self) -> Any:
        return self.units if self.num_states == 1 else [self.units] * self.num_states

    @property
    def output_size(self) -> int:
        return self.units

    @property
    def _bias_shape(self) -> tuple[int, ...]:
        return (self.num_gates * self.units,)

    @property
    def _initial_bias(self) -> Any:
        return self.bias_initializer

    def build(self, input_shape: Any) -> None:
        width = self.num_gates * self.units
        self._add_weights((input_shape[-1], width), (self.units, width))

    def _add_weights(self, kernel: tuple[int, ...], recurrent_kernel: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(
            kernel,
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.recurrent_kernel = self.add_weight(
            recurrent_kernel,
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
            name="recurrent_kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                self._bias_shape,
                self._initial_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros for each state."""
        shape, dtype = (batch_size, self.units), self.compute_dtype
        return [ops.zeros(shape, dtype) for _ in range(self.num_states)]

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """One step: the output, and the next states in the structure of `states`."""
        is_list = isinstance(states, (list, tuple))
        given = list(states) if is_list else [states]
        y, new = self.unfold(ops.expand_dims(inputs, 1), given, None, training)
        return ops.squeeze(y, 1), new if is_list else new[0]

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
        """All steps of x `[N, T, C]`.

        Args:
            x: the sequences.
            states: initial states; 0 if None.
            mask: `[N, T]`, false for steps to skip; None for none.
            training: whether there is dropout.
            reverse: whether to begin at the end.
            zero_masked: whether the results of masked steps are 0, and not the state before.
            unroll: whether a loop is written out; where there is an op it says nothing.
        """
        computation = self.dtype_policy.computation
        if x.type.dtype.is_floating and x.type.dtype is not computation:
            raise NotImplementedError(
                f"layer '{self.name}': a cell that computes in {computation.keras_name}, on"
                f" sequences of {x.dtype}, is not there yet; give both layers one dtype"
            )
        x, factors = self._noise(x) if training else (x, ())
        initial = [None] * self.num_states if states is None else states
        op = self._op(reverse, zero_masked)
        y, *final = emit(
            op, x, self.kernel, self.recurrent_kernel, self.bias, *initial, mask, *factors
        )
        return y, final

    def _op(self, reverse: bool, zero_masked: bool) -> ir.Lstm | ir.Gru | ir.SimpleRnn:
        raise NotImplementedError(f"{type(self).__name__} has no op")

    def _noise(self, x: Any) -> tuple[Any, tuple[Any, Any]]:
        """x with noise on it, and the factors for each gate of x and of the previous output."""
        batch, _, channels = x.type.shape
        per_gate = self._noise_per_gate and self.num_gates > 1
        own = None
        if self.dropout and per_gate:
            own = self._factors(batch, channels, self.dropout)
        elif self._rate(self.dropout):
            x = self._dropped(x, self.dropout, (batch, 1, channels))
        return x, (own, self._factors(batch, self.units, self.recurrent_dropout))

    def _factors(self, batch: Any, width: int, rate: float) -> Any:
        if not self._rate(rate):
            return None
        shape = (batch, self.num_gates, width)
        return self._dropped(ops.ones(shape, self.compute_dtype), rate, shape)

    def _rate(self, rate: float) -> float:
        """`rate`; Keras takes 1 for none where there are several gates."""
        return 0.0 if rate == 1 and self.num_gates > 1 else rate

    def _dropped(self, x: Any, rate: float, shape: tuple[Any, ...]) -> Any:
        return ops.zeros_like(x) if rate == 1 else ops.dropout(x, rate, shape, self.seed)

    def _function(self, activation: Any) -> str:
        """The name of a gate's function.

        Raises:
            NotImplementedError: the ops have no such function.
        """
        name = activations.serialize(activation) if activations.is_named(activation) else None
        if name not in ACTIVATIONS:
            raise NotImplementedError(
                f"layer '{self.name}': recurrent layers compute {', '.join(ACTIVATIONS)} so far,"
                f" not {name or activation!r}"
            )
        return name


class SimpleRNNCell(RecurrentCell):
    """`h' = activation(x w + h r + b)`: x `[N, C]`, h `[N, units]`.

    Args: as in Keras.
    """

    def _op(self, reverse: bool, zero_masked: bool) -> ir.SimpleRnn:
        return ir.SimpleRnn(
            self._function(self.activation), reverse=reverse, zero_masked=zero_masked
        )


class GRUCell(RecurrentCell):
    """A gated recurrent unit, see `kcompile.ir.ops.Gru`: x `[N, C]`, h `[N, units]`.

    Args: as in Keras.
    """

    num_gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    @property
    def _bias_shape(self) -> tuple[int, ...]:
        width = self.num_gates * self.units
        return (2, width) if self.reset_after else (width,)

    def _op(self, reverse: bool, zero_masked: bool) -> ir.Gru:
        return ir.Gru(
            self._function(self.activation),
            self._function(self.recurrent_activation),
            reverse,
            zero_masked,
            self.reset_after,
        )


class LSTMCell(RecurrentCell):
    """A long short-term memory, see `kcompile.ir.ops.Lstm`: x `[N, C]`, h and c `[N, units]`.

    Args: as in Keras.
    """

    num_gates = 4
    num_states = 2

    def __init__(
        self,
        units: int,
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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    @property
    def _initial_bias(self) -> Any:
        return self._with_open_forget_gates if self.unit_forget_bias else self.bias_initializer

    def _with_open_forget_gates(
        self, shape: Sequence[int], dtype: Any, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """The initial bias, 1 for the forget gates (Jozefowicz et al., 2015)."""
        initializer = self.bias_initializer
        assert initializer is not None  # None is only what None gives
        input_gates, others = (
            initializers.initial_value(initializer, (size,), dtype, rng=rng)
            for size in (self.units, 2 * self.units)
        )
        return np.concatenate([input_gates, np.ones(self.units, input_gates.dtype), others])

    def _op(self, reverse: bool, zero_masked: bool) -> ir.Lstm:
        return ir.Lstm(
            self._function(self.activation),
            self._function(self.recurrent_activation),
            reverse,
            zero_masked,
        )
