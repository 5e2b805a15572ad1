"""Optimizers under Keras's names, and any optax transformation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.ops import configs
from kcompile.training.optimizers import schedules
from kcompile.training.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam
from kcompile.training.optimizers.adaptive import Adadelta, Adafactor, Adagrad, Ftrl, RMSprop
from kcompile.training.optimizers.base import Optimizer
from kcompile.training.optimizers.composite import Muon, ScheduleFreeAdamW
from kcompile.training.optimizers.loss_scale import LossScaleOptimizer
from kcompile.training.optimizers.sgd import SGD, Lion
from kcompile.training.optimizers.wrapper import FunctionOptimizer, OptaxOptimizer

_TABLE: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls
    for cls in (
        Adadelta,
        Adafactor,
        Adagrad,
        Adam,
        AdamW,
        Adamax,
        Ftrl,
        Lamb,
        Lion,
        LossScaleOptimizer,
        Muon,
        Nadam,
        RMSprop,
        SGD,
        ScheduleFreeAdamW,
    )
}
_NOT_IMPLEMENTED = frozenset({"multioptimizer", "optimizermap"})


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The config dict of an optimizer.

    Raises:
        SpecError: the optimizer has no config.
    """
    return configs.serialize(optimizer, "keras.optimizers", _TABLE)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None
) -> Optimizer:
    """The optimizer that a config dict describes. Case does not matter in the names of ours.

    Raises:
        SpecError: the class is unknown, or a config key is.
        NotImplementedError: Keras has the optimizer, kcompile has not.
    """
    name, arguments = configs.open_envelope(config, "optimizer")
    cls = custom_objects[name] if custom_objects and name in custom_objects else _find(name)
    return configs.construct(cls, arguments, "optimizer")


def get(identifier: Any) -> Optimizer | None:
    """The optimizer that a name, config dict, class, instance, optax transformation or function is.

    A function is one of `(gradient, weight, learning_rate)`: see `FunctionOptimizer`.

    Raises:
        SpecError: it stands for none.
        NotImplementedError: Keras has the optimizer, kcompile has not.
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return configs.construct(_find(identifier), {}, "optimizer")
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return configs.construct(identifier, {}, "optimizer")
    # An optax transformation, told by its two functions: optax itself is not imported for this.
    if callable(getattr(identifier, "init", None)) and callable(
        getattr(identifier, "update", None)
    ):
        return OptaxOptimizer(identifier)
    if callable(identifier):
        return FunctionOptimizer(identifier)
    raise SpecError(
        f"{identifier!r} is not an optimizer",
        hint="Pass a name, a config dict, an Optimizer, an optax transformation or a function",
    )


def loss_scaled(optimizer: Any) -> Any:
    """The optimizer in a `LossScaleOptimizer`, unless it is none or one already."""
    if optimizer is None or isinstance(optimizer, LossScaleOptimizer):
        return optimizer
    return LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def _find(name: str) -> type[Optimizer]:
    if name.lower() in _NOT_IMPLEMENTED:
        raise NotImplementedError(f"the optimizer '{name}' is not implemented yet")
    key = name.lower() if name.lower() in _TABLE else name
    return configs.find_class(key, _TABLE, "optimizer")


__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "FunctionOptimizer",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Muon",
    "Nadam",
    "OptaxOptimizer",
    "Optimizer",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "loss_scaled",
    "schedules",
    "serialize",
]
