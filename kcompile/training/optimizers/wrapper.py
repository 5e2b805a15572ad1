"""Optax transformations, and functions, as optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, Unpack

from kcompile.ir.errors import SpecError
from kcompile.training.optimizers.base import LearningRate, Optimizer, OptimizerOptions


class OptaxOptimizer(Optimizer):
    """An optax transformation, used as it is.

    Its learning rate is inside it, so it reads as NaN here and cannot be set.

    Args:
        transformation: any `optax.GradientTransformation`.
    """

    def __init__(self, transformation: Any, name: str | None = None) -> None:
        super().__init__(learning_rate=math.nan, name=name)
        self._transformation = transformation

    @property
    def learning_rate(self) -> float:
        """NaN: the transformation does not tell."""
        return math.nan

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise SpecError(
            f"optimizer '{self.name}' is an optax transformation; "
            f"its learning rate cannot be set to {value!r}",
            hint="Use an optimizer of kcompile.optimizers, or a schedule of optax",
        )

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.from_optax(self._transformation)

    def get_config(self) -> dict[str, Any]:
        """Never given.

        Raises:
            SpecError: an optax transformation is made of functions, which have no config.
        """
        raise SpecError(
            f"optimizer '{self.name}' is an optax transformation and has no config",
            hint="Save the weights, and make the optimizer in code",
        )


class FunctionOptimizer(Optimizer):
    """A function of `(gradient, weight, learning_rate)` that gives the weight's next value.

    It is made of `kcompile.ops`, and keeps nothing from step to step.

    Args:
        function: called with tensors.
    """

    def __init__(
        self,
        function: Callable[[Any, Any, Any], Any],
        learning_rate: LearningRate = 0.01,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.function = function

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign(variable, self.function(gradient, variable, learning_rate))

    def get_config(self) -> dict[str, Any]:
        """Never given.

        Raises:
            SpecError: a function has no config.
        """
        raise SpecError(
            f"optimizer '{self.name}' is the function {self.function!r} and has no config",
            hint="Save the weights, and make the optimizer in code",
        )
