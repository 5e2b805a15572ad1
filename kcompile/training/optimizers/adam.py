"""Adam and what grew from it."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Unpack

from kcompile.ir.errors import SpecError
from kcompile.ops.variable import Variable
from kcompile.training.optimizers.base import (
    CommonOptions,
    LearningRate,
    Optimizer,
    OptimizerOptions,
)

_NOT_LAZY = (
    "amsgrad",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "gradient_accumulation_steps",
    "loss_scale_factor",
)


class Adam(Optimizer):
    """Steps by moving averages of the gradient and of its square.

    Args:
        lazy: whether a step changes only those rows of an embedding table that its batch looks up,
            and their averages, in `fit`. That is another optimizer: in a row that is not looked up
            the averages do not fade, and the row does not move on by them. It takes time for the
            rows of a batch rather than for all. It applies to float32 tables that nothing but
            lookups reads; all other weights are updated as ever.

    Raises:
        SpecError: `lazy` with what needs the gradients of whole tables: amsgrad, weight decay,
            clipping, averages of the weights, accumulation or a loss scale.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *,
        lazy: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.lazy = lazy
        given = {**options, "amsgrad": amsgrad}
        others = sorted(name for name, value in given.items() if value and name in _NOT_LAZY)
        if lazy and others:
            raise SpecError(
                f"{type(self).__name__}: lazy=True goes without {', '.join(others)}",
                hint="Leave one of them out",
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def update_rule(self, rules: ModuleType) -> Any:
        return rules.adam(
            beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon, amsgrad=self.amsgrad
        )

    def _row_rule(self) -> Any:
        if self.amsgrad or not self._is_bounded():
            return None
        from kcompile.runtimes.jax.row_rules import adam_rows

        return adam_rows(
            beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon, lazy=self.lazy
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `lazy`, which Keras does not know, only if it is set."""
        config = super().get_config()
        if not config.get("lazy"):
            config.pop("lazy", None)
        return config

    def build(self, variables: Sequence[Variable]) -> None:
        """Make what is needed for updates of these weights.

        Raises:
            SpecError: the optimizer is lazy: gradients that are given are of whole tables.
        """
        if self.lazy:
            raise SpecError(
                f"{type(self).__name__}: lazy=True works in fit with the step of compile alone",
                hint="Leave lazy out where gradients are applied by apply or in a train_step",
            )
        super().build(variables)

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
