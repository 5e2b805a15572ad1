"""How a model is trained, as legacy HDF5 files say it, in the form of Keras 3 and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile import losses
from kcompile.formats.place import Place, require_dict
from kcompile.metrics import METRICS
from kcompile.ops.naming import snake_case

Config = dict[str, Any]

#: The keys that stand in both forms.
_KEPT = (
    "loss",
    "loss_weights",
    "metrics",
    "weighted_metrics",
    "run_eagerly",
    "steps_per_execution",
    "jit_compile",
)
#: How Keras 2 ran an optimizer's steps; what they compute does not depend on it.
_INERT_OF_OPTIMIZER = ("jit_compile", "is_legacy_optimizer")
#: Names of arguments in Keras 1 and 2 that are others now.
_RENAMED = {"lr": "learning_rate"}
#: The class that held a metric which was given as a function.
_WRAPPER = "MeanMetricWrapper"
#: Metrics by the names of the functions that they are means of.
_METRICS = {snake_case(name): name for name in METRICS}


def upgrade_training(config: Any, place: Place) -> Config:
    """The `compile_config` of a `training_config`; what has no form in Keras 3 stays as it is.

    Raises:
        FormatError: it is malformed.
    """
    given = dict(require_dict(config, place))
    optimizer = given.pop("optimizer_config", None)
    if not given.get("sample_weight_mode"):  # of whole samples
        given.pop("sample_weight_mode", None)
    result = {"optimizer": _optimizer(optimizer, place / "optimizer_config")}
    for key, value in given.items():
        if key == "loss":
            value = _mapped(_object("keras.losses"), value)
        elif key in ("metrics", "weighted_metrics"):
            value = _mapped(_object("keras.metrics"), value)
        result[key] = value
    return result


def legacy_training(config: Config) -> Config:
    """The `training_config` of a `compile_config`.

    A loss by name becomes an object: Keras 3.15 reads none of its own short names, such as `mse`.
    """
    optimizer = config["optimizer"]
    return {
        **{key: config[key] for key in _KEPT if key in config},
        "loss": _mapped(_as_object, config["loss"]),
        "optimizer_config": {
            "class_name": optimizer["registered_name"] or optimizer["class_name"],
            "config": optimizer["config"],
        },
    }


def _as_object(loss: Any) -> Any:
    known = losses.get(loss) if isinstance(loss, str) else None
    return loss if known is None else losses.serialize(known)


def _optimizer(value: Any, place: Place) -> Any:
    if not isinstance(value, dict) or "module" in value:
        return value
    config = dict(require_dict(value.get("config"), place / "config"))
    for key in _INERT_OF_OPTIMIZER:
        config.pop(key, None)
    for old, new in _RENAMED.items():
        if old in config:
            config[new] = config.pop(old)
    rate = config.get("learning_rate")
    if isinstance(rate, dict) and "module" not in rate:
        config["learning_rate"] = _made("keras.optimizers.schedules", rate)
    decay = config.pop("decay", 0.0)
    if decay:
        # Each update's rate was lr / (1 + decay * updates).
        config["learning_rate"] = _made(
            "keras.optimizers.schedules",
            {
                "class_name": "InverseTimeDecay",
                "config": {
                    "initial_learning_rate": config.get("learning_rate"),
                    "decay_steps": 1,
                    "decay_rate": decay,
                },
            },
        )
    if config.get("epsilon", 0) is None:
        config["epsilon"] = 1e-7  # Keras 2's own, which None stood for
    return _made("keras.optimizers", {**value, "config": config})


def _made(module: str, value: Config) -> Config:
    """An object of Keras itself, or of a user's package: `package>Name`."""
    name = str(value.get("class_name"))
    is_custom = ">" in name
    return {
        "module": None if is_custom else module,
        "class_name": name.rpartition(">")[2],
        "config": value.get("config"),
        "registered_name": name if is_custom else None,
    }


def _object(module: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict) or "module" in value:
            return value
        config = dict(value["config"]) if isinstance(value.get("config"), dict) else {}
        if config.get("reduction") == "auto":  # in Keras 2: this, but under some strategies
            config["reduction"] = "sum_over_batch_size"
        name = value.get("class_name")
        if name == _WRAPPER and config.get("fn") in _METRICS:
            name = _METRICS[config.pop("fn")]
        return _made(module, {**value, "class_name": name, "config": config})

    return convert


def _mapped(convert: Callable[[Any], Any], value: Any) -> Any:
    """A structure with each name and object in it converted."""
    if isinstance(value, list):
        return [_mapped(convert, entry) for entry in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _mapped(convert, entry) for key, entry in value.items()}
    return convert(value)
