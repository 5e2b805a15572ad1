"""Optax transformations as optimizers."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.training.optimizers.base import Optimizer


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
