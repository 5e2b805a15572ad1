"""Configs: a layer's arguments as JSON values, in Keras 3's form."""

from __future__ import annotations

from typing import Any

from kcompile import activations
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType

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
    raise SpecError(
        f"{value!r} has no form in a config, and a file cannot hold it",
        where=where,
        hint="Use one of kcompile's own, or an object with get_config",
    )


def serialized(value: Any) -> dict[str, Any]:
    """An object as `{module, class_name, config, registered_name}`."""
    module = ".".join(type(value).__module__.split(".")[:2]).replace("kcompile", "keras")
    return {
        "module": module,
        "class_name": type(value).__name__,
        "config": value.get_config(),
        "registered_name": None,
    }


def dtype_config(dtype: DType) -> dict[str, Any]:
    """The dtype policy that computes and keeps weights in `dtype`."""
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype.keras_name},
        "registered_name": None,
    }


def dtype_of(dtype: Any, where: str) -> DType:
    """The element type that a dtype argument or policy config stands for.

    Raises:
        SpecError: it is no dtype policy.
        NotImplementedError: it computes in another type than it keeps weights in.
    """
    if dtype is None:
        return DType.FLOAT32
    if isinstance(dtype, dict):
        if dtype.get("class_name") != "DTypePolicy" or set(dtype.get("config", {})) - {"name"}:
            raise SpecError(f"the dtype policy {dtype} is not known", where=where)
        dtype = dtype["config"]["name"]
    if isinstance(dtype, str) and dtype.startswith("mixed_"):
        raise NotImplementedError(f"{where}: the dtype policy {dtype!r} is not there yet")
    return DType.of(dtype)
