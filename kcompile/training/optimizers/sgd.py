"""Gradient descent, and the sign of its momentum."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Unpack

from kcompile.ir.errors import SpecError
from kcompile.training.optimizers.base import LearningRate, Optimizer, OptimizerOptions


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's variant of it."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 <= momentum <= 1:
            raise SpecError(f"SGD: momentum must be in [0, 1], got {momentum}")
        self.momentum = momentum
        self.nesterov = nesterov

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.sgd(momentum=self.momentum, nesterov=self.nesterov)

    def _is_bounded(self) -> bool:
        return type(self).update_rule is SGD.update_rule


class Lion(Optimizer):
    """Steps of one size along the sign of a momentum."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 < beta_1 <= 1:
            raise SpecError(f"Lion: beta_1 must be in (0, 1], got {beta_1}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.lion(beta_1=self.beta_1, beta_2=self.beta_2)
