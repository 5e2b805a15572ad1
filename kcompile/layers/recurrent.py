"""Recurrent layers: cells over sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.dims import Dim
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer
from kcompile.layers.nesting import build_inner, layer_of
from kcompile.layers.recurrent_cells import (
    GRUCell,
    LSTMCell,
    RecurrentCell,
    Results,
    SimpleRNNCell,
)
from kcompile.ops.configs import argument_names
from kcompile.ops.structure import leaves
from kcompile.ops.trace import emit, require_trace


class StackedRNNCells(Layer):
    """Cells one on the other: each takes the output of the one before."""

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            _check_cell(cell, f"layer '{self.name}'")
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        return _output_size(self.cells[-1])

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros for the states of each cell."""
        return [_initial_state(cell, batch_size, self.dtype) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            build_inner(cell, input_shape)
            input_shape = (input_shape[0], _output_size(cell))

    def call(self, inputs: Any, states: Sequence[Any], training: bool = False) -> Any:
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            inputs, after = _step(cell, inputs, state)
            new.append(after)
        return inputs, new

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**{**config, "cells": [layer_of(entry) for entry in config["cells"]]})


class RNN(Layer):
    """A cell over all steps of x `[N, T, ...]`: the last output, or with `return_sequences` all.

    Args: as in Keras.
    """

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        _check_cell(self.cell, where)
        if stateful:
            raise NotImplementedError(f"{where}: stateful=True is not there yet")
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask

    @property
    def state_size(self) -> list[Any]:
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Zeros for each state."""
        state = _initial_state(self.cell, batch_size, self.dtype)
        return list(state) if isinstance(state, (list, tuple)) else [state]

    def build(self, sequences_shape: Any) -> None:
        build_inner(self.cell, (sequences_shape[0], *sequences_shape[2:]))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = _first_leaf(previous_mask) if self.return_sequences else None
        return [mask, *(None for _ in leaves(self.state_size))] if self.return_state else mask

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        y, last, states = self.unfold(sequences, initial_state, mask, training)
        if self.return_sequences:
            last = emit(ir.Reverse((1,)), y) if self.go_backwards else y
        return (last, *states) if self.return_state else last

    def unfold(
        self, sequences: Any, initial_state: Any, mask: Any, training: bool
    ) -> tuple[Any, Any, list[Any]]:
        """The outputs `[N, T, ...]`, each at the step that it belongs to; the last; the states."""
        states = self._given(initial_state)
        mask = _first_leaf(mask)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        if self.unroll and isinstance(sequences.type.shape[1], Dim):
            raise SpecError(
                "needs a fixed number of steps to unroll",
                hint="Give the input a number there, or take away unroll=True",
            )
        if self.unroll and mask is not None and states is not None:
            raise NotImplementedError(
                f"layer '{self.name}': unroll=True with a mask and initial states is not there"
                " yet; without unroll=True it is"
            )
        zero_masked = self.zero_output_for_mask and not self.unroll
        y, final = _unfold(
            self.cell, sequences, states, mask, training, self.go_backwards, zero_masked
        )
        if mask is not None and zero_masked or not _ends_with_output(self.cell):
            return y, y[:, 0 if self.go_backwards else -1], final
        return (
            y,
            next(leaves(final[-1] if isinstance(self.cell, StackedRNNCells) else final)),
            final,
        )

    def _given(self, initial_state: Any) -> list[Any] | None:
        """The initial states in the structure of `state_size`, as tensors."""
        if initial_state is None:
            return None
        is_list = isinstance(initial_state, (list, tuple))
        states = list(initial_state) if is_list else [initial_state]
        if len(states) != len(self.state_size):
            raise SpecError(f"needs {len(self.state_size)} initial states, got {len(states)}")
        return [_as_tensors(state, self.dtype) for state in states]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return super().from_config({**config, "cell": layer_of(config["cell"])})


def _unfold(
    cell: Any,
    x: Any,
    states: Sequence[Any] | None,
    mask: Any,
    training: bool,
    reverse: bool,
    zero_masked: bool,
) -> Results:
    """The outputs, each at its step, and the final states, of a cell over x `[N, T, ...]`."""
    with require_trace().builder.scope(getattr(cell, "name", type(cell).__name__)):
        if isinstance(cell, StackedRNNCells):
            final: list[Any] = []
            for index, inner in enumerate(cell.cells):
                state = None if states is None else states[index]
                is_list = state is None or isinstance(state, (list, tuple))
                last = index == len(cell.cells) - 1
                given = state if is_list else [state]
                x, new = _unfold(inner, x, given, mask, training, reverse, zero_masked and last)
                final.append(new if is_list else new[0])
            return x, final
        if isinstance(cell, RecurrentCell):
            return cell.unfold(x, states, mask, training, reverse, zero_masked)
        return _unrolled(cell, x, states, mask, reverse, zero_masked)


def _unrolled(
    cell: Any, x: Any, states: Sequence[Any] | None, mask: Any, reverse: bool, zero_masked: bool
) -> Results:
    """A custom cell, step by step.

    Raises:
        NotImplementedError: the number of steps is not known.
    """
    batch, time = x.type.shape[:2]
    if isinstance(time, Dim):
        raise NotImplementedError(
            f"the cell {type(cell).__name__}: a cell of one's own needs a fixed number of steps so"
            " far; give the input one"
        )
    if states is None:
        given = _initial_state(cell, batch, "float32")
        states = list(given) if isinstance(given, (list, tuple)) else [given]
    now = list(states)
    outputs: list[Any] = [None] * time
    for t in reversed(range(time)) if reverse else range(time):
        output, after = _step(cell, x[:, t], now)
        new = list(after) if isinstance(after, (list, tuple)) else [after]
        if mask is not None:
            kept = ops.expand_dims(mask[:, t], 1)
            output = ops.where(kept, output, ops.zeros_like(output) if zero_masked else now[0])
            new = [ops.where(kept, a, b) for a, b in zip(new, now, strict=True)]
        outputs[t], now = output, new
    return ops.stack(outputs, 1), now


def _step(cell: Any, inputs: Any, states: Any) -> tuple[Any, Any]:
    output, new = (cell if callable(cell) else cell.call)(inputs, states)
    return output, new


def _ends_with_output(cell: Any) -> bool:
    """Whether the first state, of the last cell, is the output."""
    inner = cell.cells[-1] if isinstance(cell, StackedRNNCells) else cell
    if isinstance(inner, StackedRNNCells):
        return False
    return isinstance(inner, RecurrentCell)


def _check_cell(cell: Any, where: str) -> None:
    if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
        raise SpecError(f"{cell!r} is no cell", where=where, hint="It needs call and state_size")


def _output_size(cell: Any) -> Any:
    size = getattr(cell, "output_size", None)
    if size is not None:
        return size
    return cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size


def _initial_state(cell: Any, batch: Any, dtype: str) -> Any:
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size=batch)
    size = cell.state_size
    if isinstance(size, (list, tuple)):
        return [ops.zeros((batch, entry), dtype) for entry in size]
    return ops.zeros((batch, size), dtype)


def _as_tensors(state: Any, dtype: str) -> Any:
    if isinstance(state, (list, tuple)):
        return [_as_tensors(entry, dtype) for entry in state]
    return ops.convert_to_tensor(state, dtype)


def _first_leaf(structure: Any) -> Any:
    return next(iter(leaves(structure)), None)


class _CellLayer(RNN):
    """An RNN over one cell of ours, whose arguments are its own."""

    def __getattr__(self, name: str) -> Any:
        cell = vars(self).get("cell")
        if cell is None or name not in argument_names(type(cell)):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(cell, name)

    def get_config(self) -> dict[str, Any]:
        config = {"activity_regularizer": None, **super().get_config()}
        del config["cell"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)


def _cell_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the layer that its cell shares; `use_cudnn` says nothing here."""
    options.pop("use_cudnn", None)
    return {
        "name": name,
        "dtype": options.get("dtype"),
        "trainable": options.get("trainable", True),
        "implementation": options.pop("implementation", 2),
    }


class SimpleRNN(_CellLayer):
    """`h' = activation(x w + h r + b)` over x `[N, T, C]`.

    Args: as in Keras.
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
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
            **_cell_options("simple_rnn_cell", kwargs),
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )


class GRU(_CellLayer):
    """Gated recurrent units over x `[N, T, C]`; see `kcompile.ir.ops.Gru`.

    Args: as in Keras.
    """

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
        unroll: bool = False,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        cell = GRUCell(
            units,
            activation,
            recurrent_activation,
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
            reset_after,
            seed,
            **_cell_options("gru_cell", kwargs),
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )


class LSTM(_CellLayer):
    """Long short-term memories over x `[N, T, C]`; see `kcompile.ir.ops.Lstm`.

    Args: as in Keras.
    """

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
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = LSTMCell(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            unit_forget_bias,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **_cell_options("lstm_cell", kwargs),
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
