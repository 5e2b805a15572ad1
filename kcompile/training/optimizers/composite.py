"""Optimizers that treat weights in different ways, or that keep a second set of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Unpack

from kcompile.training.optimizers.base import (
    CommonOptions,
    LearningRate,
    Optimizer,
    OptimizerOptions,
)


class Muon(Optimizer):
    """Orthogonal steps for matrices, and Adam's for all other weights. Jordan, 2024.

    Args:
        adam_weight_decay: weight decay of the weights that Adam updates.
        weight_decay: that of the others.
        exclude_layers: patterns; weights whose path matches one are Adam's.
        exclude_embeddings: whether those are whose path has `embedding` in it.
        muon_a, muon_b, muon_c: coefficients of the iteration that makes a step orthogonal.
        adam_lr_ratio: Adam's learning rate in relation to the other.
        ns_steps: number of those iterations.
        rms_rate: root mean square of the elements of a step, for a learning rate of 1; None leaves
            steps as they are.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **options)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def update_rule(self, rules: ModuleType) -> Any:
        from kcompile.runtimes.jax import composite_optimizers as composite
        from kcompile.runtimes.jax import optimizer_wrappers as wrappers

        muon = composite.muon(
            coefficients=(self.muon_a, self.muon_b, self.muon_c),
            momentum=self.momentum,
            num_iterations=self.ns_steps,
            nesterov=self.nesterov,
            rms_rate=self.rms_rate,
        )
        adam = rules.adam(
            beta_1=self.adam_beta_1, beta_2=self.adam_beta_2, epsilon=self.epsilon, amsgrad=False
        )
        adam = wrappers.with_rate(adam, self.adam_lr_ratio)
        return wrappers.partitioned(
            {
                "muon": rules.compose(muon, weight_decay=self.weight_decay, decays=self._decays),
                "adam": rules.compose(
                    adam, weight_decay=self.adam_weight_decay, decays=self._decays
                ),
            },
            self.part_of,
        )

    def _shared_decay(self) -> float | None:
        return None

    def part_of(self, path: str, shape: tuple[int, ...]) -> str:
        """Which of the two updates a weight."""
        if len(shape) != 2 or (self.exclude_embeddings and "embedding" in path.lower()):
            return "adam"
        return "adam" if any(re.search(p, path) for p in self.exclude_layers) else "muon"


class ScheduleFreeAdamW(Optimizer):
    """Adam on weights between its own steps and their average, in place of a schedule.

    Defazio et al., 2024.

    Args:
        warmup_steps: updates in which the learning rate rises from 0.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def update_rule(self, rules: ModuleType) -> Any:
        from kcompile.runtimes.jax import composite_optimizers as composite

        return composite.schedule_free_adam(
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            warmup_steps=self.warmup_steps,
        )
