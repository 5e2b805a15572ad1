"""How a model is trained, as files have it: `compile_config`, and the optimizer's state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.formats.place import Place, locating, require_dict, require_known_keys, shorten
from kcompile.ir.errors import KCompileError, SpecError
from kcompile.layers.config import function_config
from kcompile.ops.door import service
from kcompile.ops.limits import limited
from kcompile.ops.registry import CustomObjectScope, get_registered_object

if TYPE_CHECKING:
    from kcompile.models import Model

Config = dict[str, Any]

_KEYS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
#: How Keras runs the steps; what they compute does not depend on it.
_INERT = ("run_eagerly", "jit_compile", "auto_scale_loss")
_HINT = "Pass compile=False to read the model alone; custom_objects={...} for classes of yours"


# From files


def compile_model(
    model: Model, config: Any, place: Place, custom_objects: Mapping[str, Any] | None = None
) -> None:
    """Compile a model as a file says.

    Args:
        config: `compile_config` in the form of Keras 3.
        place: of it, for messages.
        custom_objects: the user's classes and functions by name.

    Raises:
        FormatError: it is malformed, or names what is not known.
    """
    from kcompile import losses, metrics  # reading a model alone needs neither

    require_known_keys(require_dict(config, place), (*_KEYS, *_INERT, "steps_per_execution"), place)
    with CustomObjectScope(custom_objects), limited():
        arguments = {
            "loss": _read(config.get("loss"), losses.deserialize, place / "loss"),
            "metrics": _read(config.get("metrics"), metrics.deserialize, place / "metrics"),
            "weighted_metrics": _read(
                config.get("weighted_metrics"), metrics.deserialize, place / "weighted_metrics"
            ),
            "loss_weights": config.get("loss_weights"),
            "steps_per_execution": config.get("steps_per_execution") or 1,
        }
        optimizer = config.get("optimizer")
        if not isinstance(optimizer, (dict, str)):
            raise (place / "optimizer").error(f"needs an object, got {shorten(optimizer)}", _HINT)
        with _refusing(place):
            model.compile(optimizer=optimizer, auto_scale_loss=False, **arguments)


@contextlib.contextmanager
def _refusing(place: Place) -> Iterator[None]:
    """Turn what is raised about unknown names and arguments into a `FormatError`."""
    try:
        with locating({}, place):
            yield
    except KCompileError as error:
        raise place.error(error.message, _HINT) from error


def _read(value: Any, read: Callable[[Any], Any], place: Place) -> Any:
    """The losses or metrics in a structure; names stay as they are."""
    if isinstance(value, list):
        return [_read(entry, read, place[index]) for index, entry in enumerate(value)]
    if not isinstance(value, dict):
        return _named(value)
    if "class_name" not in value:
        return {key: _read(entry, read, place / key) for key, entry in value.items()}
    if value["class_name"] == "function":
        return _named(value.get("config"))
    with _refusing(place):
        return read(value)


def _named(value: Any) -> Any:
    """The user's function or class of that name, or the name."""
    found = get_registered_object(value) if isinstance(value, str) else None
    return value if found is None else found


# To files


def compile_config(model: Model) -> Config:
    """How a model is trained, in the form of Keras 3; empty if it is not compiled.

    Raises:
        SpecError: the optimizer, a loss or a metric has no form in a file.
    """
    from kcompile import losses, metrics

    settings = model.trainer.settings if is_compiled(model) else None
    if settings is None:
        return {}
    where = f"model '{model.name}': compile"
    try:
        return {
            "optimizer": service("serialize_optimizer")(model.optimizer),
            "loss": _write(settings.loss, losses.serialize, f"{where}: loss"),
            "loss_weights": _plain(settings.loss_weights),
            "metrics": _write(settings.metrics, metrics.serialize, f"{where}: metrics"),
            "weighted_metrics": _write(
                settings.weighted_metrics, metrics.serialize, f"{where}: weighted_metrics"
            ),
            "run_eagerly": False,
            "steps_per_execution": model.trainer.steps_per_execution,
            "jit_compile": True,
        }
    except SpecError as error:
        error.hint = "Pass include_optimizer=False to save the model alone"
        raise


def is_compiled(model: Model) -> bool:
    """Whether `compile` was called; a model is not given a trainer for the answer."""
    return "_trainer" in vars(model) and model.trainer.settings is not None


def _write(value: Any, write: Callable[[Any], Config], where: str) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_write(entry, write, where) for entry in value]
    if isinstance(value, dict):
        return {key: _write(entry, write, where) for key, entry in value.items()}
    if isinstance(value, type):
        value = value()
    if hasattr(value, "get_config"):
        return write(value)
    if not hasattr(value, "__name__") or value.__name__ == "<lambda>":
        raise SpecError(f"{value!r} has no form in a file", where=where)
    return function_config(value, where)


def _plain(value: Any) -> Any:
    """Numbers in a structure as JSON has them."""
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.item() if isinstance(value, np.generic) else value


# The optimizer's state


def optimizer_layout(model: Model) -> list[Any] | None:
    """What Keras keeps for the optimizer of a compiled model: name and type of each array.

    None for an optimizer that Keras has not.
    """
    layout: list[Any] | None = service("optimizer_layout")(model.trainer)
    return layout


def optimizer_arrays(model: Model) -> list[np.ndarray[Any, Any]]:
    """The arrays of `optimizer_layout`; none for an optimizer that Keras has not."""
    arrays: list[np.ndarray[Any, Any]] = service("optimizer_arrays")(model.trainer)
    return arrays


def restore_optimizer(model: Model, arrays: list[np.ndarray[Any, Any]]) -> None:
    """Let training go on from the arrays of `optimizer_layout`."""
    service("restore_optimizer")(model.trainer, arrays)
