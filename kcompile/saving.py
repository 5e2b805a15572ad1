"""Objects to configs and back, with classes and functions that users register.

Only classes of kcompile and registered ones are ever looked up: nothing that a config names is
imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kcompile import (
    activations,
    constraints,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from kcompile.formats import load_weights as load_weights
from kcompile.formats import save_weights as save_weights
from kcompile.ir.errors import SpecError
from kcompile.models import load_model, save_model
from kcompile.ops.missing import missing
from kcompile.ops.registry import (
    CustomObjectScope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    is_registered,
    register_keras_serializable,
)

KerasFileEditor = missing(
    "saving.KerasFileEditor", "nothing edits .keras files in place; see load_model"
)

#: What reads the configs of each module of Keras.
_READERS: dict[str, Callable[..., Any]] = {
    "keras": dtype_policies.deserialize,
    "keras.constraints": constraints.get,
    "keras.initializers": initializers.deserialize,
    "keras.layers": layers.deserialize,
    "keras.losses": losses.deserialize,
    "keras.metrics": metrics.deserialize,
    "keras.optimizers": optimizers.deserialize,
    "keras.regularizers": regularizers.get,
}
custom_object_scope = CustomObjectScope


def serialize_keras_object(obj: Any) -> Any:
    """An object, or a structure of them, as JSON values.

    Raises:
        SpecError: it is neither plain, nor one of kcompile's, nor registered.
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, (list, tuple)):
        return type(obj)(serialize_keras_object(entry) for entry in obj)
    if isinstance(obj, dict):
        return {key: serialize_keras_object(entry) for key, entry in obj.items()}
    if not isinstance(obj, type) and hasattr(obj, "get_config"):
        return _serialized_instance(obj)
    if is_registered(obj):
        return _function_config(obj.__name__, get_registered_name(obj))
    if activations.is_named(obj):
        return _function_config(activations.serialize(obj), "function")
    raise SpecError(
        f"{obj!r} has no form in a config", hint="Register it with register_keras_serializable"
    )


def _function_config(name: str, registered: str) -> dict[str, Any]:
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": registered,
    }


def _serialized_instance(obj: Any) -> dict[str, Any]:
    if is_registered(type(obj)):
        return {
            "module": None,
            "class_name": type(obj).__name__,
            "config": serialize_keras_object(obj.get_config()),
            "registered_name": get_registered_name(type(obj)),
        }
    for base, serialize in _WRITERS.items():
        if isinstance(obj, base):
            return serialize(obj)
    raise SpecError(
        f"{type(obj).__name__} is a class of yours",
        hint="Register it with register_keras_serializable",
    )


_WRITERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    constraints.Constraint: constraints.serialize,
    dtype_policies.DTypePolicy: dtype_policies.serialize,
    initializers.Initializer: initializers.serialize,
    layers.Layer: layers.serialize,
    losses.Loss: losses.serialize,
    metrics.Metric: metrics.serialize,
    optimizers.Optimizer: optimizers.serialize,
    regularizers.Regularizer: regularizers.serialize,
}


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """What `serialize_keras_object` wrote.

    Args:
        config: JSON values.
        custom_objects: further classes and functions by name.
        safe_mode: without meaning: no code in a config is ever run.

    Raises:
        SpecError: it names something that is neither kcompile's nor registered.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(deserialize_keras_object(entry, custom_objects) for entry in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {key: deserialize_keras_object(e, custom_objects) for key, e in config.items()}
    name, registered = config["class_name"], config.get("registered_name")
    found = None
    for key in (registered, config["config"] if name == "function" else name):
        if found is None and isinstance(key, str):
            found = get_registered_object(key, custom_objects)
    if name == "function":
        return activations.get(config["config"]) if found is None else found
    if found is not None:
        arguments = deserialize_keras_object(config["config"], custom_objects)
        return found.from_config(arguments) if hasattr(found, "from_config") else found(**arguments)
    reader = _READERS.get(config.get("module") or "")
    if reader is None:
        raise SpecError(
            f"{config.get('module')}.{name} is not known",
            hint="Register it with register_keras_serializable, or pass custom_objects",
        )
    return reader(config)


__all__ = [
    "CustomObjectScope",
    "KerasFileEditor",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
