"""Optimizers as pure functions of lists of arrays, for training steps of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError, TrainingError
from kcompile.ops.trace import unused_name
from kcompile.ops.variable import Variable

#: Places among the optimizer's variables.
ITERATION, LEARNING_RATE, SLOTS = 0, 1, 2


class StatelessUpdates:
    """What lets an optimizer be used outside the built-in training step.

    Its variables are the number of updates, the learning rate, and the slots in the order of
    optax's state. A learning rate that is a schedule or a function is computed from the number of
    updates, and the variable is not read.
    """

    name: str
    built: bool = False
    _built_for: tuple[Variable, ...] = ()
    _built_variables: tuple[Variable, ...] = ()
    _pure: Any = None
    _weight_names: Mapping[Variable, str] = MappingProxyType({})

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the variables for updates of these weights; nothing if that was done.

        Raises:
            TrainingError: it was done for others.
        """
        from kcompile.runtimes.jax import own_steps

        if self.built:
            if self._built_for != tuple(variables):
                raise TrainingError(
                    f"optimizer '{self.name}' was built for other weights",
                    hint="Make an optimizer for each set of weights",
                )
            return
        names: dict[Variable, str] = {}
        for variable in variables:
            names[variable] = unused_name(variable.path, set(names.values()))
        self._built_for = tuple(variables)
        self._pure = own_steps.PureOptimizer(self, names)
        arrays = {
            "iteration": np.int32(0),
            "learning_rate": np.float32(np.nan if self._is_scheduled else self._rate),
            **self._pure.initial({name: v.array for v, name in names.items()}),
        }
        self._built_variables = tuple(
            _variable(f"{self.name}/{name}", array) for name, array in arrays.items()
        )
        self.built = True

    @property
    def _rate(self) -> Any:
        return self.learning_rate  # type: ignore[attr-defined]

    @property
    def _is_scheduled(self) -> bool:
        return callable(self._rate)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """The next values of the weights and of the optimizer's variables.

        Args:
            optimizer_variables: values in the order of `variables`.
            grads: one for each weight.
            trainable_variables: the weights' values, in the order in which `build` had them.

        Raises:
            TrainingError: `build` was not called.
            SpecError: the number of values is another one.
        """
        self._require_built()
        for what, given, wanted in (
            ("optimizer_variables", optimizer_variables, self._built_variables),
            ("grads", grads, self._built_for),
            ("trainable_variables", trainable_variables, self._built_for),
        ):
            if len(given) != len(wanted):
                raise SpecError(
                    f"needs {len(wanted)} {what}, got {len(given)}",
                    where=f"optimizer '{self.name}': stateless_apply",
                )
        iteration, rate, *slots = optimizer_variables
        if self._is_scheduled:
            rate = self._pure.scheduled_rate(iteration)
        skipped_before = self._pure.num_skipped(slots)
        weights, slots = self._pure.update(slots, list(grads), list(trainable_variables), rate)
        next_iteration = iteration + 1 - (self._pure.num_skipped(slots) - skipped_before)
        constrained = [
            weight if variable.constraint is None else variable.constraint(weight)
            for variable, weight in zip(self._built_for, weights, strict=True)
        ]
        return constrained, [next_iteration, optimizer_variables[LEARNING_RATE], *slots]

    def scale_loss(self, loss: Any) -> Any:
        """The loss to take gradients of: times the loss scale, which updates divide by.

        Inside a model's `train_step` the scale is that of the state that is given to the step.

        Raises:
            TrainingError: `build` was not called.
        """
        self._require_built()
        scale = self._pure.loss_scale([v.array for v in self._built_variables[SLOTS:]])
        return loss if scale is None else loss * scale

    def name_weights(self, names: Mapping[Variable, str]) -> None:
        """Know the names of a model's weights, which `averages` are given by."""
        self._weight_names = names

    def _built_averages(self) -> dict[str, Any] | None:
        """Copies of the moving averages by name; None without them or before an update."""
        if not self.built or not int(self._built_variables[ITERATION].array):
            return None
        found = self._pure.averages([v.array for v in self._built_variables[SLOTS:]])
        if found is None:
            return None
        names = [self._weight_names.get(v, v.path) for v in self._built_for]
        return dict(zip(names, found, strict=True))

    def _num_own_steps(self) -> int:
        """Updates by `apply`, or by training steps of one's own."""
        return int(self._built_variables[ITERATION].numpy()) if self.built else 0

    def _require_built(self) -> None:
        if not self.built:
            raise TrainingError(
                f"optimizer '{self.name}' is not built", hint="Call build(trainable_variables)"
            )

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Update weights by gradients; those of `build` by default."""
        self.build(list(trainable_variables or self._built_for))
        self.refresh_rate()
        state = [variable.array for variable in self._built_variables]
        values = [variable.array for variable in self._built_for]
        weights, state = self.stateless_apply(state, grads, values)
        for variable, value in zip(
            (*self._built_for, *self._built_variables), (*weights, *state), strict=True
        ):
            variable.assign(value)

    def refresh_rate(self) -> None:
        """Let the variable of the learning rate have the number that was last set."""
        if self.built and not self._is_scheduled:
            self._built_variables[LEARNING_RATE].assign(np.float32(self._rate))


def _variable(path: str, array: Any) -> Variable:
    value = np.asarray(array)
    variable = Variable(
        lambda: value, value.shape, str(value.dtype), path.rsplit("/", 1)[-1], False
    )
    variable.path = path
    return variable
