"""Classes and functions of users, by the names under which files may ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ContextDecorator
from typing import Any, TypeVar

from kcompile.ir.errors import SpecError

T = TypeVar("T")

_registered: dict[str, Any] = {}
_names: dict[Any, str] = {}


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Decorator: let configs name a class or function as `package>name`.

    Raises:
        SpecError: a class has no get_config.
    """

    def register(value: T) -> T:
        full = f"{package}>{name or value.__name__}"  # type: ignore[attr-defined]
        if isinstance(value, type) and not hasattr(value, "get_config"):
            raise SpecError(f"{value.__name__} has no get_config", where="saving")
        _registered[full] = value
        _names[value] = full
        return value

    return register


def get_custom_objects() -> dict[str, Any]:
    """What is registered, by name; entries may be added and removed."""
    return _registered


def get_registered_name(obj: Any) -> str:
    """The name under which a class or function is registered; its own name for another one."""
    return _names.get(obj, getattr(obj, "__name__", str(obj)))


def is_registered(obj: Any) -> bool:
    """Whether a class or function is registered."""
    return obj in _names


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """What the name stands for in the registry, or in one of the tables; None if nowhere."""
    for table in (_registered, custom_objects or {}, module_objects or {}):
        if name in table:
            return table[name]
    return None


class CustomObjectScope(ContextDecorator):
    """Inside, the classes and functions in a dict are known by its keys."""

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._before: dict[str, Any] = {}

    def __enter__(self) -> CustomObjectScope:
        self._before = dict(_registered)
        _registered.update(self.custom_objects)
        return self

    def __exit__(self, *error: object) -> None:
        _registered.clear()
        _registered.update(self._before)
