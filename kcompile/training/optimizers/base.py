"""What every optimizer shares: learning rate, weight decay, clipping, config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Self, TypeAlias, TypedDict

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.ops import configs, naming
from kcompile.ops.variable import Variable
from kcompile.training.optimizers import schedules
from kcompile.training.optimizers.own_updates import OwnUpdates
from kcompile.training.optimizers.schedules import LearningRateSchedule
from kcompile.training.optimizers.stateless import StatelessUpdates

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


class Optimizer(StatelessUpdates, OwnUpdates):
    """Base of the optimizers. Subclasses define `update_rule`, or `build` and `update_step`.

    Args:
        learning_rate: number, schedule, or function of no argument or of the step.
        weight_decay: each step first takes `w * weight_decay * learning_rate` off every weight.
        clipnorm: largest L2 norm of the gradient of one weight.
        clipvalue: largest magnitude of one element of a gradient.
        global_clipnorm: largest L2 norm of all gradients together.
        use_ema: whether to keep moving averages of the weights, which they become after `fit`.
        ema_momentum: of those averages.
        ema_overwrite_frequency: after so many updates the weights become their averages.
        loss_scale_factor: what the loss is multiplied by while gradients are computed.
        gradient_accumulation_steps: batches whose mean gradient makes an update.

    Raises:
        SpecError: an argument is out of range, or more than one clipping is asked for.
    """

    #: Whether rows of tables that a batch does not look up stay as they are.
    lazy = False

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
        self._undecayed_variables: frozenset[Any] = frozenset()
        self._undecayed_names: set[str] = set()
        self._progress: Any = None
        self._check_clipping()
        self._check_averages()

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
        """Leave weights out of weight decay.

        Args:
            var_list: those weights.
            var_names: patterns; a weight is left out whose own name, as `bias`, matches one.
        """
        self._undecayed_variables = frozenset(var_list or ())
        self._undecayed = re.compile("|".join(var_names)) if var_names else None

    def update_rule(self, rules: ModuleType) -> Any:
        """The optax transformation of one step, without clipping and weight decay.

        Args:
            rules: the module `kcompile.runtimes.jax.optimizers`.
        """
        from kcompile.runtimes.jax.traced_optimizer import traced

        if type(self).update_step is Optimizer.update_step:
            raise NotImplementedError(
                f"{type(self).__name__} must define update_rule or update_step"
            )
        return traced(self.traced_update)

    def build(self, variables: Sequence[Variable]) -> None:
        """Make what is needed for updates of these weights."""
        if self._slots is None:
            StatelessUpdates.build(self, variables)
        else:  # while `update_step` is traced
            OwnUpdates.build(self, variables)

    def transformation(self, names: Mapping[Any, str] | None = None) -> Any:
        """The optax transformation of one step.

        Its `update(gradients, state, params, learning_rate=...)` gives what to add to the weights.

        Args:
            names: of the weights that are trained, by variable; their paths by default.
        """
        from kcompile.runtimes.jax import optimizer_wrappers as wrappers
        from kcompile.runtimes.jax import optimizers as rules

        known = names or {}
        self._undecayed_names = {known.get(v, v.path) for v in self._undecayed_variables}
        result = rules.compose(
            self.update_rule(rules),
            weight_decay=self._shared_decay(),
            decays=self._decays,
            clipnorm=self.clipnorm,
            clipvalue=self.clipvalue,
            global_clipnorm=self.global_clipnorm,
            is_bounded=self._is_bounded() and 0 <= (self._shared_decay() or 0) <= 1,
            update_rows=self._row_rule(),
            is_lazy=self.lazy,
        )
        steps = self.gradient_accumulation_steps
        if steps:
            result = wrappers.accumulated(result, steps)
        if self.use_ema:
            frequency = self.ema_overwrite_frequency
            result = wrappers.averaged(result, self.ema_momentum, frequency, steps)
        if self.loss_scale_factor:
            result = wrappers.unscaled(result, self.loss_scale_factor)
        return result

    # While a model is trained

    def follow(self, progress: Any) -> None:
        """Know how far the training of a model has come, a `kcompile.training.loops.Progress`."""
        self._progress = progress

    @property
    def iterations(self) -> Any:
        """Updates so far; steps that a loss scale made too large are not counted."""
        if self._iterations is not None:
            return self._iterations
        done = self.num_steps() + self._num_own_steps()
        return done // (self.gradient_accumulation_steps or 1)

    @property
    def variables(self) -> list[Variable]:
        """Copies of what the optimizer keeps: iterations, a learning rate that is a number, slots.

        Slots come in the order of optax's state, and only after the first step.
        """
        if self.built:
            return list(self._built_variables)
        arrays = {"iteration": np.asarray(self.num_steps(), np.int32)}
        if not callable(self._learning_rate):
            arrays["learning_rate"] = np.asarray(self._learning_rate, np.float32)
        if self._progress is not None and self._progress.slots is not None:
            from kcompile.runtimes.jax import optimizer_wrappers as wrappers

            arrays |= wrappers.named_arrays(self._progress.slots)
        return [_variable(f"{self.name}/{name}", array) for name, array in arrays.items()]

    def upcoming_rates(self, first_update: int, num_updates: int) -> np.ndarray:
        """The learning rates of updates of the model that is trained, float32 `[num_updates]`."""
        done = self._progress.num_updates - self.num_steps()
        return self.learning_rates(first_update - done, num_updates)

    @property
    def averages(self) -> dict[str, Any] | None:
        """Copies of the moving averages of the weights by name; None if there are none yet."""
        if self._progress is None or self._progress.slots is None:
            return self._built_averages()
        if not self.num_steps():
            return None
        from kcompile.runtimes.jax import optimizer_wrappers as wrappers
        from kcompile.runtimes.jax import training as xla

        found = wrappers.averages(self._progress.slots)
        return None if found is None else xla.copied(found)

    def final_weights(self) -> dict[str, Any]:
        """What the weights are set to at the end of `fit`, by name: their averages, if any."""
        return self.averages or {}

    def num_steps(self) -> int:
        """Batches so far whose gradients were taken; steps that a loss scale skipped left out."""
        if self._progress is None:
            return 0
        steps = self._progress.num_updates - self._progress.first_update
        if self._progress.slots is None:
            return int(steps)
        from kcompile.runtimes.jax import optimizer_wrappers as wrappers

        return int(steps) - int(wrappers.num_skipped(self._progress.slots))

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

    def _row_rule(self) -> Any:
        """How tables are updated given gradients of rows; None if it is not known."""
        return None

    def _is_bounded(self) -> bool:
        """Whether finite gradients and weights, if not gigantic, make finite weights."""
        return False

    def _shared_decay(self) -> float | None:
        """The weight decay of all weights that decay."""
        return self.weight_decay

    def _decays(self, path: str) -> bool:
        if path in self._undecayed_names:
            return False
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

    def _check_averages(self) -> None:
        name, steps = type(self).__name__, self.gradient_accumulation_steps
        if steps is not None and (not isinstance(steps, int) or (steps and steps < 2)):
            raise SpecError(
                f"{name}: gradient_accumulation_steps must be an integer of at least 2, got {steps}"
            )
        if not self.use_ema:
            return
        if not 0 <= self.ema_momentum <= 1:
            raise SpecError(f"{name}: ema_momentum must be in [0, 1], got {self.ema_momentum}")
        frequency = self.ema_overwrite_frequency
        if frequency is not None and (not isinstance(frequency, int) or frequency < 1):
            raise SpecError(
                f"{name}: ema_overwrite_frequency must be an integer of at least 1, got {frequency}"
            )


def _variable(path: str, array: Any) -> Variable:
    """A variable that is not trained, with that value."""
    array = np.asarray(array)
    variable = Variable(lambda: array, array.shape, array.dtype, path.rsplit("/", 1)[-1], False)
    variable.path = path
    return variable
