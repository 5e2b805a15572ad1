"""Cells over sequences, one's own among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.dims import Dim
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer
from kcompile.layers.nesting import build_inner, layer_of
from kcompile.layers.recurrent_cells import RecurrentCell, Results
from kcompile.layers.stepping import as_list, run_steps, tensors_as
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.trace import emit, require_trace, unused_name
from kcompile.ops.variable import Variable


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
        return [_initial_state(cell, batch_size, self.compute_dtype) for cell in self.cells]

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
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self._carried_states: Any = None

    @property
    def state_size(self) -> list[Any]:
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Zeros for each state."""
        state = _initial_state(self.cell, batch_size, self.compute_dtype)
        return list(state) if isinstance(state, (list, tuple)) else [state]

    def build(self, sequences_shape: Any) -> None:
        build_inner(self.cell, (sequences_shape[0], *sequences_shape[2:]))
        if self.stateful:
            self._make_states(sequences_shape)

    def _make_states(self, shape: Any) -> None:
        if shape[0] is None:
            raise SpecError(
                "stateful=True needs a fixed batch size",
                where=f"layer '{self.name}'",
                hint="Give it to the input: Input(shape, batch_size=...)",
            )
        names: set[str] = set()

        def variable(state: Any) -> Variable:
            name = unused_name("rnn_state", names)
            names.add(name)
            sizes = state.type.static_shape
            return self.add_weight(sizes, "zeros", trainable=False, autocast=False, name=name)

        self._carried_states = map_leaves(variable, self.get_initial_state(shape[0]))

    @property
    def states(self) -> Any:
        """What a stateful layer keeps between calls; None for others."""
        return self._carried_states

    def reset_state(self) -> None:
        """Set the states that are kept between calls to 0."""
        for variable in leaves(self.states):
            if variable is not None:
                variable.assign(np.zeros(variable.shape, variable.type.dtype.numpy))

    reset_states = reset_state

    @property
    def carried_variables(self) -> list[Variable]:
        return [variable for variable in leaves(self.states) if variable is not None]

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
        states = self._given(self.states if initial_state is None else initial_state)
        mask = _first_leaf(mask)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        if self.unroll and isinstance(sequences.type.shape[1], Dim):
            raise SpecError(
                "needs a fixed number of steps to unroll",
                hint="Give the input a number there, or take away unroll=True",
            )
        zero_masked = self.zero_output_for_mask and not self.unroll
        y, final = _unfold(
            *(self.cell, sequences, states, mask, training),
            *(self.go_backwards, zero_masked, self.unroll),
        )
        for variable, state in zip(self.carried_variables, leaves(final), strict=False):
            variable.assign(state)
        if self.unroll and mask is not None:
            # Where no step counted so far, an unrolled layer's output is 0, not the initial state.
            y = _zero_until(mask, y, self.go_backwards)
            return y, y[:, 0 if self.go_backwards else -1], final
        is_stacked = isinstance(self.cell, StackedRNNCells)
        if mask is not None and (zero_masked or is_stacked) or not _ends_with_output(self.cell):
            return y, y[:, 0 if self.go_backwards else -1], final
        return y, next(leaves(final[-1] if is_stacked else final)), final

    def _given(self, initial_state: Any) -> list[Any] | None:
        """The initial states in the structure of `state_size`, as tensors."""
        if initial_state is None:
            return None
        is_list = isinstance(initial_state, (list, tuple))
        states = list(initial_state) if is_list else [initial_state]
        if len(states) != len(self.state_size):
            raise SpecError(f"needs {len(self.state_size)} initial states, got {len(states)}")
        return [tensors_as(self.compute_dtype, state) for state in states]

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
    unroll: bool,
) -> Results:
    """The outputs, each at its step, and the final states, of a cell over x `[N, T, ...]`."""
    with require_trace().builder.scope(getattr(cell, "name", type(cell).__name__)):
        if isinstance(cell, StackedRNNCells):
            final: list[Any] = []
            firsts: list[Any] = []
            for index, inner in enumerate(cell.cells):
                state = None if states is None else states[index]
                is_list = state is None or isinstance(state, (list, tuple))
                given = state if is_list else [state]
                zeros = zero_masked and index == len(cell.cells) - 1
                x, new = _unfold(inner, x, given, mask, training, reverse, zeros, unroll)
                final.append(new if is_list else new[0])
                firsts.append(x)
            if mask is not None and not (zero_masked or unroll or _is_nested(cell, x, states)):
                x = _first_where_masked(mask, x, firsts[0])
            return x, final
        if isinstance(cell, RecurrentCell):
            return cell.unfold(x, states, mask, training, reverse, zero_masked, unroll)
        if states is None:
            states = as_list(_initial_state(cell, x.type.shape[0], x.dtype))

        def step(now: Any, before: Any) -> tuple[Any, list[Any]]:
            output, after = _step(cell, now, before)
            return output, as_list(after)

        return run_steps(step, x, list(states), mask, reverse, zero_masked, unroll)


def _is_nested(cells: StackedRNNCells, x: Any, states: Sequence[Any] | None) -> bool:
    """Whether the state of the first cell is a list, and no single tensor."""
    if states is not None:
        return isinstance(states[0], (list, tuple))
    state = _initial_state(cells.cells[0], x.type.shape[0], cells.compute_dtype)
    return isinstance(state, (list, tuple))


def _first_where_masked(mask: Any, y: Any, first: Any) -> Any:
    """The outputs of stacked cells whose states are single tensors.

    At masked steps they are the state of the first cell, as in Keras.

    Raises:
        SpecError: the cells have different widths.
    """
    if y.type != first.type:
        raise SpecError(
            f"at masked steps stacked cells give the first cell's state {first.type}, which is no"
            f" output {y.type}",
            hint="Pass zero_output_for_mask=True, or make the cells of one width",
        )
    return ops.where(ops.expand_dims(mask, 2), y, first)


def _zero_until(mask: Any, y: Any, reverse: bool) -> Any:
    """y `[N, T, ...]`, but 0 before the first step that counts."""
    counted = emit(ir.CumSum(1, reverse=reverse), ops.cast(mask, "int32")) > 0
    counted = ops.reshape(counted, (*counted.type.shape, *(1,) * (y.type.rank - 2)))
    return ops.where(counted, y, ops.zeros_like(y))


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


def _first_leaf(structure: Any) -> Any:
    return next(iter(leaves(structure)), None)
