"""Optimizers of one's own in Keras's form: `build` makes variables, `update_step` assigns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile import initializers
from kcompile.ir.graph import Graph
from kcompile.ir.types import DType, TensorType
from kcompile.ops import seeds
from kcompile.ops.trace import Trace
from kcompile.ops.variable import Variable

ITERATIONS, LEARNING_RATE, GRADIENT, SLOT = "iterations", "learning_rate", "gradient", "slot"


@dataclass(frozen=True)
class TracedUpdate:
    """One update of all weights.

    Attributes:
        graph: weights, slots and the number of updates are states; gradients and rate are data.
        slots: first values of the optimizer's variables, by name.
    """

    graph: Graph
    slots: dict[str, np.ndarray[Any, Any]]


class OwnUpdates:
    """What a subclass calls in `build` and `update_step`.

    Both run on stand-ins of the weights while the update is traced. A weight has no value in
    `build`.
    """

    name: str
    _slots: list[Variable] | None = None
    _iterations: Variable | None = None
    _trainable_variables: Sequence[Variable] = ()

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the optimizer's variables for updates of these weights; calls `super().build`."""
        self._trainable_variables = list(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Assign the weight its next value, and slots theirs.

        Args:
            gradient: a tensor like the weight.
            variable: the weight.
            learning_rate: a scalar tensor of float32.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update_step")

    def assign(self, variable: Variable, value: Any) -> None:
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        variable.assign_sub(value)

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A variable of the optimizer's own."""
        element = DType.of(dtype or "float32")
        initial = initializers.get(initializer)
        assert initial is not None  # None is only what None gives
        value = initializers.initial_value(
            initial, tuple(shape), element.keras_name, rng=seeds.stream(0)
        )
        variable = Variable(lambda: value, tuple(shape), element, name or "variable", False)
        if self._slots is not None:
            variable.path = f"{SLOT}/{len(self._slots)}_{variable.name}"
            self._slots.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A variable of the shape and element type of a weight."""
        return self.add_variable(
            reference_variable.shape, initializer, reference_variable.dtype, name
        )

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """A variable for each weight; for a list of names a list for each of them."""
        names = [name] if isinstance(name, str) else list(name)
        lists = isinstance(initializer, (list, tuple))
        initial = list(initializer) if lists else [initializer] * len(names)
        made = tuple(
            [self.add_variable_from_reference(v, key, first) for v in trainable_variables]
            for key, first in zip(names, initial, strict=True)
        )
        return made[0] if isinstance(name, str) else made

    def _get_variable_index(self, variable: Variable) -> int:
        return next(i for i, known in enumerate(self._trainable_variables) if known is variable)

    def traced_update(self, types: Mapping[str, TensorType]) -> TracedUpdate:
        """The update of weights of those names and types."""
        weights = [_state(name, type, _unknown(name)) for name, type in types.items()]
        counter = _state(ITERATIONS, TensorType(DType.INT32, ()), lambda: np.int32(0))
        self._slots, self._iterations = [], counter
        try:
            self.build(weights)
            states = [counter, *weights, *self._slots]
            trace = Trace("update", names={state: state.path for state in states})
            with trace.active():
                rate = trace.input(LEARNING_RATE, TensorType(DType.FLOAT32, ()))
                for weight in weights:
                    gradient = trace.input(f"{GRADIENT}/{weight.path}", weight.type)
                    self.update_step(gradient, weight, rate)
            slots = {slot.path: slot.numpy() for slot in self._slots}
            return TracedUpdate(trace.finish([]), slots)
        finally:
            self._slots = self._iterations = None


def _state(path: str, type: TensorType, make: Callable[[], Any]) -> Variable:
    variable = Variable(make, type.static_shape, type.dtype, path.rsplit("/", 1)[-1], False)
    variable.path = path
    return variable


def _unknown(path: str) -> Callable[[], Any]:
    def make() -> Any:
        raise NotImplementedError(
            f"weight '{path}': an optimizer's build cannot read its value yet"
        )

    return make
