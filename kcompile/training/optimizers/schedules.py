"""Learning rates that depend on the step. Each takes one step or an array of steps, from 0 on.

Computed in float64 and given in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.ops import configs

# A restart falls on a whole step: log(x) / log(t) may come out this much below its whole number.
_LOGARITHM_ERROR = 1e-9


class LearningRateSchedule:
    """Base of the schedules. Subclasses define `__call__`."""

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step, a number."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__")

    def over(self, steps: np.ndarray) -> np.ndarray:
        """The learning rates at steps `[N]`, as float32 `[N]`."""
        return np.array([float(self(step)) for step in steps.tolist()], np.float32)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return configs.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A schedule from what `get_config` gave."""
        return cls(**config)


class _ArraySchedule(LearningRateSchedule):
    """A schedule given by an equation over float64 arrays."""

    def __call__(self, step: Any) -> Any:
        """The learning rate at one step or at each of an array of steps, as float32."""
        return self.at(np.asarray(step, np.float64)).astype(np.float32)[()]

    def over(self, steps: np.ndarray) -> np.ndarray:
        return np.asarray(self(steps))

    def at(self, step: np.ndarray) -> np.ndarray:
        """The equation."""
        raise NotImplementedError(f"{type(self).__name__} must define at")


class ExponentialDecay(_ArraySchedule):
    """`initial * decay_rate ** (step / decay_steps)`; a staircase rounds the exponent down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        _require_positive(self, decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def at(self, step: np.ndarray) -> np.ndarray:
        periods = step / self.decay_steps
        if self.staircase:
            periods = np.floor(periods)
        return self.initial_learning_rate * np.power(float(self.decay_rate), periods)


class InverseTimeDecay(_ArraySchedule):
    """`initial / (1 + decay_rate * step / decay_steps)`; a staircase rounds the quotient down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        _require_positive(self, decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def at(self, step: np.ndarray) -> np.ndarray:
        periods = step / self.decay_steps
        if self.staircase:
            periods = np.floor(periods)
        return self.initial_learning_rate / (1.0 + self.decay_rate * periods)


class PiecewiseConstantDecay(_ArraySchedule):
    """`values[i]` up to and including step `boundaries[i]`, the last value after all of them."""

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(values) != len(boundaries) + 1:
            raise SpecError(
                f"PiecewiseConstantDecay needs one value more than boundaries, "
                f"got {len(values)} and {len(boundaries)}"
            )
        if any(after <= before for before, after in zip(boundaries, boundaries[1:], strict=False)):
            raise SpecError(f"PiecewiseConstantDecay: boundaries must rise, got {boundaries}")
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def at(self, step: np.ndarray) -> np.ndarray:
        values = np.asarray(self.values, np.float64)
        return values[np.searchsorted(np.asarray(self.boundaries, np.float64), step)]


class PolynomialDecay(_ArraySchedule):
    """`(initial - end) * (1 - step / decay_steps) ** power + end`, and `end` afterwards.

    With `cycle`, decay_steps is multiplied until it covers the step.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        _require_positive(self, decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def at(self, step: np.ndarray) -> np.ndarray:
        periods = np.maximum(1.0, np.ceil(step / self.decay_steps)) if self.cycle else 1.0
        length = self.decay_steps * periods
        left = 1.0 - np.minimum(step, length) / length
        span = self.initial_learning_rate - self.end_learning_rate
        return span * np.power(left, self.power) + self.end_learning_rate


class CosineDecay(_ArraySchedule):
    """Half a cosine from the initial rate to `alpha` times it, after an optional linear warm-up.

    With a `warmup_target` the rate rises to it in `warmup_steps`, and the cosine starts there.
    Loshchilov and Hutter, 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        _require_positive(self, decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def at(self, step: np.ndarray) -> np.ndarray:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._decay(step)
        decayed = self.warmup_target * self._decay(np.maximum(step - self.warmup_steps, 0.0))
        if self.warmup_steps == 0:
            return decayed
        rise = (self.warmup_target - self.initial_learning_rate) / self.warmup_steps
        warming = self.initial_learning_rate + rise * step
        return np.where(step < self.warmup_steps, warming, decayed)

    def _decay(self, step: np.ndarray) -> np.ndarray:
        done = np.minimum(step, self.decay_steps) / self.decay_steps
        return (1.0 - self.alpha) * 0.5 * (1.0 + np.cos(np.pi * done)) + self.alpha


class CosineDecayRestarts(_ArraySchedule):
    """Cosine decays one after the other, each `t_mul` times as long and `m_mul` times as high.

    Loshchilov and Hutter, 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        _require_positive(self, first_decay_steps=first_decay_steps, t_mul=t_mul)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def at(self, step: np.ndarray) -> np.ndarray:
        restarts, done = self._place(step / self.first_decay_steps)
        cosine = 0.5 * np.power(float(self.m_mul), restarts) * (1.0 + np.cos(np.pi * done))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def _place(self, periods: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Restarts so far, and the part done of the current decay, at a time in first periods."""
        if self.t_mul == 1.0:
            return np.floor(periods), periods % 1.0
        ratio = np.log(1.0 + periods * (self.t_mul - 1.0)) / np.log(self.t_mul)
        restarts = np.floor(ratio + _LOGARITHM_ERROR)
        length = np.power(float(self.t_mul), restarts)
        return restarts, (periods - (length - 1.0) / (self.t_mul - 1.0)) / length


_TABLE: dict[str, type[LearningRateSchedule]] = {
    cls.__name__: cls
    for cls in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def serialize(learning_rate_schedule: Any) -> dict[str, Any]:
    """The config dict of a schedule.

    Raises:
        SpecError: it is a plain function, which has no config.
    """
    return configs.serialize(learning_rate_schedule, "keras.optimizers.schedules", _TABLE)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None
) -> LearningRateSchedule:
    """The schedule that a config dict describes.

    Raises:
        SpecError: the class is unknown, or a config key is.
    """
    name, arguments = configs.open_envelope(config, "learning rate schedule")
    table = {**_TABLE, **(custom_objects or {})}
    cls = configs.find_class(name, table, "learning rate schedule")
    return configs.construct(cls, arguments, "learning rate schedule")


def _require_positive(schedule: object, **arguments: float) -> None:
    for name, value in arguments.items():
        if value <= 0:
            raise SpecError(f"{type(schedule).__name__}: {name} must be positive, got {value}")
