"""What every optimizer shares: learning rate, weight decay, clipping, config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Self, TypeAlias, TypedDict

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.ops import configs, naming
from kcompile.training.optimizers import schedules
from kcompile.training.optimizers.schedules import LearningRateSchedule

LearningRate: TypeAlias = float | LearningRateSchedule | Callable[..., float]


class CommonOptions(TypedDict, total=False):
    """The arguments that every optimizer takes by name, weight decay left out."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class OptimizerOptions(CommonOptions, total=False):
    """The arguments that every optimizer takes by name."""

    weight_decay: float | None


class Optimizer:
    """Base of the optimizers. Subclasses define `update_rule`.

    Args:
        learning_rate: number, schedule, or function of no argument or of the step.
        weight_decay: each step first takes `w * weight_decay * learning_rate` off every weight.
        clipnorm: largest L2 norm of the gradient of one weight.
        clipvalue: largest magnitude of one element of a gradient.
        global_clipnorm: largest L2 norm of all gradients together.
        use_ema, loss_scale_factor, gradient_accumulation_steps: not implemented.
        ema_momentum, ema_overwrite_frequency: mean nothing without `use_ema`.

    Raises:
        SpecError: an argument is out of range, or more than one clipping is asked for.
        NotImplementedError: an option is asked for that is not implemented.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self.name = naming.snake_case(type(self).__name__) if name is None else name
        self._learning_rate = self._checked_rate(learning_rate)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._undecayed: re.Pattern[str] | None = None
        self._check_clipping()
        self._refuse_unimplemented()

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate as it was set: a number, a schedule or a function.

        Raises:
            SpecError: on setting a number where a schedule is in place, or something else.
        """
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        rate = self._checked_rate(value)
        if isinstance(self._learning_rate, LearningRateSchedule) and not callable(rate):
            raise SpecError(
                f"optimizer '{self.name}' follows a {type(self._learning_rate).__name__}; "
                f"the number {rate} cannot replace it",
                hint="Make the optimizer with a number, or set another schedule",
            )
        self._learning_rate = rate

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of one update; `step` counts from 0."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return float(rate(step))
        if callable(rate):
            return float(rate(step) if inspect.signature(rate).parameters else rate())
        return rate

    def learning_rates(self, first_step: int, num_steps: int) -> np.ndarray:
        """The learning rates of consecutive updates, as float32 `[num_steps]`."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate.over(np.arange(first_step, first_step + num_steps))
        if not callable(rate):
            return np.full(num_steps, rate, np.float32)
        steps = range(first_step, first_step + num_steps)
        return np.array([self.learning_rate_at(step) for step in steps], np.float32)

    def exclude_from_weight_decay(
        self, var_list: Any = None, var_names: list[str] | None = None
    ) -> None:
        """Leave weights out of weight decay: those whose own name, as `bias`, matches a pattern.

        Raises:
            NotImplementedError: weights are given as objects.
        """
        if var_list:
            raise NotImplementedError("exclude_from_weight_decay takes var_names, not var_list")
        self._undecayed = re.compile("|".join(var_names)) if var_names else None

    def update_rule(self, rules: ModuleType) -> Any:
        """The optax transformation of one step, without clipping and weight decay.

        Args:
            rules: the module `kcompile.runtimes.jax.optimizers`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_rule")

    def transformation(self) -> Any:
        """The optax transformation of one step.

        Its `update(gradients, state, params, learning_rate=...)` gives what to add to the weights.
        """
        from kcompile.runtimes.jax import optimizers as rules

        return rules.compose(
            self.update_rule(rules),
            weight_decay=self.weight_decay,
            decays=self._decays,
            clipnorm=self.clipnorm,
            clipvalue=self.clipvalue,
            global_clipnorm=self.global_clipnorm,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments.

        Raises:
            SpecError: the learning rate is a plain function, which has no config.
        """
        rate = self._learning_rate
        config = configs.config_of(self)
        return {**config, "learning_rate": schedules.serialize(rate) if callable(rate) else rate}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, type] | None = None
    ) -> Self:
        """An optimizer from what `get_config` gave."""
        rate = config.get("learning_rate")
        if isinstance(rate, Mapping):
            config = {**config, "learning_rate": schedules.deserialize(rate, custom_objects)}
        return cls(**config)

    def _decays(self, path: str) -> bool:
        own_name = path.rsplit("/", 1)[-1]
        return self._undecayed is None or self._undecayed.search(own_name) is None

    def _checked_rate(self, value: Any) -> LearningRate:
        if callable(value):
            return value
        number = isinstance(value, float | int | np.floating | np.integer)
        if not number or isinstance(value, bool):
            raise SpecError(
                f"{type(self).__name__}: learning_rate must be a number, a schedule or a function, "
                f"got {value!r}"
            )
        return float(value)

    def _check_clipping(self) -> None:
        limits = {
            name: getattr(self, name)
            for name in ("clipnorm", "clipvalue", "global_clipnorm")
            if getattr(self, name) is not None
        }
        if len(limits) > 1:
            raise SpecError(f"{type(self).__name__}: only one clipping can be set, got {limits}")
        for name, limit in limits.items():
            if limit < 0:
                raise SpecError(f"{type(self).__name__}: {name} must not be negative, got {limit}")

    def _refuse_unimplemented(self) -> None:
        for name in ("use_ema", "loss_scale_factor", "gradient_accumulation_steps"):
            if getattr(self, name):
                raise NotImplementedError(
                    f"{type(self).__name__}: {name}={getattr(self, name)!r} is not implemented yet"
                )
