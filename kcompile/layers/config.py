"""Configs: a layer's arguments as JSON values, in Keras 3's form."""

from __future__ import annotations

import inspect
import json
from typing import Any

from kcompile import activations, dtype_policies
from kcompile.dtype_policies import DTypePolicy
from kcompile.ir.errors import SpecError
from kcompile.ops.registry import get_registered_name

#: Arguments of every layer, which `Layer.get_config` writes itself.
COMMON = ("name", "trainable", "dtype")


def config_value(value: Any, where: str) -> Any:
    """`value` as JSON: names for functions, `{module, class_name, config}` for objects.

    Raises:
        SpecError: it has no such form, as a function of one's own has not.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [config_value(entry, where) for entry in value]
    if isinstance(value, dict):
        return {key: config_value(entry, where) for key, entry in value.items()}
    if hasattr(value, "get_config"):
        return serialized(value)
    if activations.is_named(value):
        return activations.serialize(value)
    if inspect.isfunction(value) and value.__name__ != "<lambda>":
        return function_config(value, where)
    raise SpecError(
        f"{value!r} has no form in a config, and a file cannot hold it",
        where=where,
        hint="Use one of kcompile's own, a function with a name, or an object with get_config",
    )


def function_config(function: Any, where: str) -> dict[str, Any]:
    """A function of one's own, which a reader has to know by its name.

    Raises:
        SpecError: a reader would take it for another one.
    """
    name = get_registered_name(function)
    if activations.is_name(name):
        raise SpecError(
            f"the function has the name of the activation {name!r}, which a reader would take",
            where=where,
            hint="Register it (kcompile.saving.register_keras_serializable), or rename it",
        )
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def serialized(value: Any) -> dict[str, Any]:
    """An object as `{module, class_name, config, registered_name}`; models as they write it."""
    if hasattr(value, "to_json"):
        entry: dict[str, Any] = json.loads(value.to_json())
        return entry
    cls = type(value)
    parts = cls.__module__.split(".")
    of_ours = parts[0] == "kcompile"
    return {
        "module": ".".join(["keras", *parts[1:2]]) if of_ours else None,
        "class_name": cls.__name__,
        "config": value.get_config(),
        "registered_name": None if of_ours else get_registered_name(cls),
    }


def dtype_policy_of(dtype: Any, where: str) -> DTypePolicy:
    """The policy that a dtype argument stands for.

    Raises:
        SpecError: it stands for none.
        NotImplementedError: kcompile has no such policy.
    """
    try:
        return dtype_policies.get(dtype)
    except SpecError as error:
        raise error.located(where) from None
    except NotImplementedError as error:
        raise NotImplementedError(f"{where}: {error}") from None
