"""Config dicts: `{"module", "class_name", "config", "registered_name"}` to and from objects.

Class names are looked up among what the user registered and in a table that the caller passes;
nothing is imported, and a key that the class does not take is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.ops.registry import get_registered_name, get_registered_object

_ENVELOPE_KEYS = frozenset(
    {"module", "class_name", "config", "registered_name", "build_config", "shared_object_id"}
)


def argument_names(cls: type) -> tuple[str, ...]:
    """Names of the arguments that a class is constructed with.

    Where a constructor ends in `**options`, the arguments of its base class are added.
    """
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names |= {p.name: None for p in parameters if p.kind is not p.VAR_KEYWORD}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return tuple(names)


def config_of(instance: object) -> dict[str, Any]:
    """The constructor's arguments, read from the attributes of the same names.

    Raises:
        SpecError: an argument is not kept under its name.
    """
    names = argument_names(type(instance))
    missing = [name for name in names if not hasattr(instance, name)]
    if missing:
        raise SpecError(
            f"{type(instance).__name__} does not keep its arguments {missing} as attributes",
            hint="Override get_config",
        )
    return {name: getattr(instance, name) for name in names}


def serialize(instance: Any, module: str, table: Mapping[str, type]) -> dict[str, Any]:
    """The config dict of an object; `module` is written for the classes in `table`.

    Raises:
        SpecError: the object has no config, as a plain function has none.
    """
    cls = type(instance)
    if not hasattr(instance, "get_config"):
        raise SpecError(
            f"{instance!r} cannot be written as a config",
            hint="Make it a class with get_config, or build the model in code",
        )
    built_in = cls in table.values()
    return {
        "module": module if built_in else cls.__module__,
        "class_name": cls.__name__,
        "config": instance.get_config(),
        "registered_name": None if built_in else get_registered_name(cls),
    }


def open_envelope(config: Mapping[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    """The name of the class, the registered one if it has one, and the arguments.

    Raises:
        SpecError: a part is missing, unknown or of the wrong type.
    """
    name = config.get("class_name")
    arguments = config.get("config")
    if not isinstance(name, str):
        raise SpecError(f"{kind}: a config needs a string under 'class_name', got {config!r}")
    unread = sorted(set(config) - _ENVELOPE_KEYS, key=str)
    if unread:
        raise SpecError(f"{kind} '{name}': the keys {unread} are not understood")
    if not isinstance(arguments, Mapping | None):
        raise SpecError(f"{kind} '{name}': 'config' must be a mapping, got {arguments!r}")
    registered = config.get("registered_name")
    if isinstance(registered, str) and get_registered_object(registered) is not None:
        name = registered
    return name, dict(arguments or {})


def find_class(name: str, table: Mapping[str, type], kind: str) -> type:
    """The class that a name stands for.

    Raises:
        SpecError: the table has no such name.
    """
    registered = get_registered_object(name)
    if isinstance(registered, type):
        return registered
    if name not in table:
        known = ", ".join(sorted({cls.__name__ for cls in table.values()}))
        raise SpecError(f"unknown {kind} '{name}'", hint=f"Known: {known}")
    return table[name]


def construct(cls: Any, arguments: dict[str, Any], kind: str) -> Any:
    """An instance of `cls` from its config.

    Raises:
        SpecError: a key is not an argument of the class, one is missing, or one is of a wrong type.
    """
    unread = sorted(set(arguments) - set(argument_names(cls)), key=str)
    if unread:
        raise SpecError(
            f"{kind} '{cls.__name__}': the config keys {unread} are not understood",
            hint=f"It takes {', '.join(argument_names(cls)) or 'none'}",
        )
    try:
        return cls.from_config(arguments)
    except (TypeError, AttributeError) as error:
        raise SpecError(f"{kind} '{cls.__name__}': {error}") from error
