"""Values of a config, held against the annotations of the arguments that they are for."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kcompile import constraints, initializers, regularizers
from kcompile.formats.place import (
    Place,
    locating,
    require_dict,
    require_keys,
    require_known_keys,
    shorten,
)
from kcompile.ops.configs import argument_names
from kcompile.ops.registry import get_registered_object

#: Objects in configs, by the end of their argument's name: what makes one, and its module.
_OBJECTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "_initializer": (initializers.get, "keras.initializers"),
    "_constraint": (constraints.get, "keras.constraints"),
    "_regularizer": (regularizers.get, "keras.regularizers"),
}
_OBJECT_KEYS = ("module", "class_name", "config", "registered_name", "shared_object_id")


def check_layer_config(cls: Any, config: dict[str, Any], place: Place) -> None:
    """Check that a layer's class reads every key of `config`, and takes values of these types.

    Raises:
        FormatError: an unread key, or a value of a wrong type.
    """
    hints = class_hints(cls)
    require_known_keys(config, {*hints, *cls.inert_config}, place)
    for key, value in config.items():
        if key in hints:
            require_type(value, hints[key], place / key)
            _check_object(key, value, place / key)


def require_type(value: Any, hint: Any, place: Place) -> None:
    """Check that a JSON value is of an annotated type.

    Raises:
        FormatError: it is not.
    """
    if not conforms(value, hint):
        wanted = hint.__name__ if isinstance(hint, type) else str(hint)
        wanted = wanted.replace("collections.abc.", "").replace("typing.", "")
        raise place.error(f"needs {wanted}, got {shorten(value)}")


def _check_object(key: str, value: Any, place: Place) -> None:
    """Check an initializer or regularizer that is written as an object."""
    for ending, (get, module) in _OBJECTS.items():
        if key.endswith(ending) and isinstance(value, dict):
            if is_custom(value):
                return
            require_keys(value, ("module", "class_name", "config"), place)
            require_known_keys(value, _OBJECT_KEYS, place)
            if value["module"] != module:
                raise (place / "module").error(f"needs '{module}', got {shorten(value['module'])}")
            config = require_dict(value["config"], place / "config")
            with locating({}, place):
                kind: Any = type(get({**value, "config": {}}))
            hints = class_hints(kind)
            require_known_keys(config, hints, place / "config")
            for name, entry in config.items():
                require_type(entry, hints[name], place / "config" / name)


def unknown_objects(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The classes of initializers and their like in a layer's config that are of no module of ours
    and not the user's: names, and the same with their modules.
    """
    for key, value in config.items():
        for ending, (_, module) in _OBJECTS.items():
            if not key.endswith(ending) or not isinstance(value, dict) or is_custom(value):
                continue
            name = value.get("class_name")
            if isinstance(name, str) and value.get("module", module) != module:
                yield name, f"{value['module']}.{name}" if value["module"] else name


def is_custom(entry: dict[str, Any]) -> bool:
    """Whether an object asks for a class of the user's."""
    names = (entry.get("registered_name"), entry.get("class_name"))
    return any(isinstance(n, str) and get_registered_object(n) is not None for n in names)


@functools.cache
def class_hints(cls: Any) -> dict[str, Any]:
    """The annotation of each argument that a class is constructed with."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            found = {**typing.get_type_hints(vars(base)["__init__"]), **found}
    return {name: found.get(name, Any) for name in argument_names(cls)}


@functools.cache
def function_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotation of each parameter of a function."""
    hints = typing.get_type_hints(function)
    return {name: hints.get(name, Any) for name in inspect.signature(function).parameters}


def conforms(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of an annotated type; types that JSON has not are not checked."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(conforms(value, choice) for choice in arguments)
    if hint in (None, types.NoneType):
        return value is None
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if origin in (Mapping, dict):
        return isinstance(value, dict)
    if origin is tuple and Ellipsis not in arguments:
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(arguments)
            and all(map(conforms, value, arguments))
        )
    if origin in (tuple, list, Sequence):
        return isinstance(value, (list, tuple)) and all(conforms(v, arguments[0]) for v in value)
    return True
