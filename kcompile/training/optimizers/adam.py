"""Adam and what grew from it."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Unpack

from kcompile.ir.errors import SpecError
from kcompile.training.optimizers.base import (
    CommonOptions,
    LearningRate,
    Optimizer,
    OptimizerOptions,
)


class Adam(Optimizer):
    """Steps by moving averages of the gradient and of its square."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.adam(
            beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon, amsgrad=self.amsgrad
        )

    def _is_bounded(self) -> bool:
        return (
            type(self).update_rule is Adam.update_rule
            and all(0 <= beta < 0.99999 for beta in (self.beta_1, self.beta_2))
            and self.epsilon >= 1e-9
        )


class AdamW(Adam):
    """Adam with weight decay. Loshchilov and Hutter, 2019."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        if weight_decay is None:
            raise SpecError("AdamW: weight_decay must be a number, got None", hint="Use Adam")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


class _TwoMoments(Optimizer):
    """An optimizer with the arguments of Adam, amsgrad left out."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon


class Adamax(_TwoMoments):
    """Adam with the largest gradient in place of the average square."""

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.adamax(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)


class Nadam(_TwoMoments):
    """Adam with Nesterov momentum."""

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.nadam(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)


class Lamb(_TwoMoments):
    """Adam with steps scaled to the norm of each weight, for large batches."""

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.lamb(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)
