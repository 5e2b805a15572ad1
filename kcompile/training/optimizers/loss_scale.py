"""Loss scaling, for gradients in 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.training.optimizers.base import LearningRate, Optimizer


class LossScaleOptimizer(Optimizer):
    """Another optimizer, on a loss that is multiplied so that small gradients do not vanish.

    A step with gradients that are not finite is skipped and halves the factor; so many others in a
    row double it.

    Args:
        inner_optimizer: takes the steps.
        initial_scale: the first factor.
        dynamic_growth_steps: finite steps in a row that double it.
        name: of this optimizer.
        options: arguments of every optimizer, with the values that say nothing: older configs have
            them.

    Raises:
        SpecError: an option is set, which belongs to the inner optimizer.
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(0.0, name=name)
        for option, value in options.items():
            if option == "dynamic" and value is True:
                continue
            if not hasattr(self, option) or value != getattr(self, option):
                raise SpecError(
                    f"LossScaleOptimizer does not take {option}={value!r}",
                    hint="Set it on the inner optimizer",
                )
        if getattr(inner_optimizer, "lazy", False):
            raise SpecError(
                "LossScaleOptimizer cannot scale the gradients of a lazy optimizer",
                hint="Leave lazy out, or train in float32 or bfloat16",
            )
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self.inner_optimizer.loss_scale_factor = None  # or the loss would be scaled twice

    @property
    def learning_rate(self) -> LearningRate:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @property
    def dynamic_scale(self) -> float:
        """The present factor."""
        if self._progress is None or self._progress.slots is None:
            return float(self.scale_loss(1.0)) if self.built else self.initial_scale
        return float(self._progress.slots.scale)

    def learning_rate_at(self, step: int) -> float:
        return self.inner_optimizer.learning_rate_at(step)

    def learning_rates(self, first_step: int, num_steps: int) -> np.ndarray:
        return self.inner_optimizer.learning_rates(first_step, num_steps)

    def follow(self, progress: Any) -> None:
        super().follow(progress)
        self.inner_optimizer.follow(progress)

    def update_rule(self, rules: ModuleType) -> Any:
        return self.inner_optimizer.update_rule(rules)

    def transformation(self, names: Mapping[Any, str] | None = None) -> Any:
        from kcompile.runtimes.jax import optimizer_wrappers as wrappers

        inner = self.inner_optimizer.transformation(names)
        return wrappers.dynamically_scaled(inner, self.initial_scale, self.dynamic_growth_steps)

    def get_config(self) -> dict[str, Any]:
        from kcompile.training.optimizers import serialize

        return {
            "name": self.name,
            "inner_optimizer": serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, type] | None = None
    ) -> Self:
        from kcompile.training.optimizers import deserialize

        inner = config.get("inner_optimizer")
        if not isinstance(inner, Mapping):
            raise SpecError("a config of LossScaleOptimizer needs one under 'inner_optimizer'")
        return cls(**{**config, "inner_optimizer": deserialize(inner, custom_objects)})
