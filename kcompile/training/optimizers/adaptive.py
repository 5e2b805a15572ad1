"""Optimizers that divide by the size of past gradients."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Unpack

from kcompile.ir.errors import SpecError
from kcompile.training.optimizers.base import LearningRate, Optimizer, OptimizerOptions


class RMSprop(Optimizer):
    """Gradients divided by the root of a moving average of their squares."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.rmsprop(
            rho=self.rho, momentum=self.momentum, epsilon=self.epsilon, centered=self.centered
        )

    def _is_bounded(self) -> bool:
        is_plain = type(self).update_rule is RMSprop.update_rule and not self.centered
        return is_plain and 0 <= self.rho <= 1 and 0 <= self.momentum <= 1 and self.epsilon >= 1e-9


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of their squares."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.adagrad(
            initial_accumulator_value=self.initial_accumulator_value, epsilon=self.epsilon
        )


class Adadelta(Optimizer):
    """Gradients scaled by the ratio of past steps to past gradients."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.epsilon = epsilon

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.adadelta(rho=self.rho, epsilon=self.epsilon)


class Adafactor(Optimizer):
    """Steps scaled to the weights, with squares kept by row and column only.

    Args:
        relative_step: kept for Keras's sake; the step is bounded by 1 / sqrt(t) either way.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.adafactor(
            beta_2_decay=self.beta_2_decay,
            epsilon_1=self.epsilon_1,
            epsilon_2=self.epsilon_2,
            clip_threshold=self.clip_threshold,
        )


class Ftrl(Optimizer):
    """Follow the regularized leader: L1 and L2 regularization that make weights exactly zero."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        if learning_rate_power > 0:
            raise SpecError(
                f"Ftrl: learning_rate_power must not be positive, got {learning_rate_power}"
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            if getattr(self, name) < 0:
                raise SpecError(f"Ftrl: {name} must not be negative, got {getattr(self, name)}")

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.ftrl(
            learning_rate_power=self.learning_rate_power,
            initial_accumulator_value=self.initial_accumulator_value,
            l1_regularization_strength=self.l1_regularization_strength,
            l2_regularization_strength=self.l2_regularization_strength,
            l2_shrinkage_regularization_strength=self.l2_shrinkage_regularization_strength,
            beta=self.beta,
        )
