"""Where something stands in a file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kcompile.ir.errors import FormatError, KCompileError

#: What Python raises when a value of a wrong type or size gets into code that does not expect it.
_BAD_VALUE = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError)
_CONFIG = re.compile(r"\bconfig\.")
_LAYER = re.compile(r"layer '([^'/]*)[^']*'")


@dataclass(frozen=True)
class Place:
    """A file and a path of keys in it: `model.json: config.layers[3]`."""

    file: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file

    def __truediv__(self, key: str) -> Place:
        return Place(self.file, f"{self.path}.{key}" if self.path else key)

    def __getitem__(self, index: int) -> Place:
        return Place(self.file, f"{self.path}[{index}]")

    @property
    def of_layer(self) -> str:
        """The place as messages name it beside a layer: `model.json: layers[3]`."""
        return str(Place(self.file, _CONFIG.sub("", self.path)))

    def error(self, message: str, hint: str | None = None) -> FormatError:
        """An error that is found here."""
        return FormatError(message, where=str(self), hint=hint)


@contextlib.contextmanager
def locating(places: dict[str, Place], otherwise: Place) -> Iterator[None]:
    """Write into errors from inside where in the file the layer stands that they name.

    Args:
        places: of the layers, by name.
        otherwise: the place of an error that names none of them.

    Raises:
        FormatError: in place of an error that is not one of ours.
    """
    try:
        yield
    except KCompileError as error:
        _locate(error, places, otherwise)
        raise
    except NotImplementedError as error:
        raise otherwise.error(str(error)) from error
    except _BAD_VALUE as error:
        raise otherwise.error(f"a value is not understood: {error}") from error


def _locate(error: KCompileError, places: dict[str, Place], otherwise: Place) -> None:
    where = error.where or ""
    if f"{otherwise.file}: " in where:
        return
    found = _LAYER.search(where)
    if found and found[1] in places:
        end = found.end()
        error.where = f"{where[:end]} ({places[found[1]].of_layer}){where[end:]}"
    else:
        error.located(str(otherwise))


def require_dict(value: Any, place: Place) -> dict[str, Any]:
    """`value`, which has to be an object.

    Raises:
        FormatError: it is not.
    """
    if not isinstance(value, dict):
        raise place.error(f"needs an object, got {shorten(value)}")
    return value


def require_list(value: Any, place: Place) -> list[Any]:
    """`value`, which has to be a list.

    Raises:
        FormatError: it is not.
    """
    if not isinstance(value, list):
        raise place.error(f"needs a list, got {shorten(value)}")
    return value


def require_known_keys(config: dict[str, Any], known: Any, place: Place) -> None:
    """Check that every key of `config` is one that is read.

    Raises:
        FormatError: one is not; it names the first.
    """
    for key in config:
        if key not in known:
            raise (place / key).error("this key is not understood")


def require_keys(config: dict[str, Any], needed: Any, place: Place) -> None:
    """Check that `config` has the keys `needed`.

    Raises:
        FormatError: one is missing.
    """
    for key in needed:
        if key not in config:
            raise place.error(f"the key '{key}' is missing")


def shorten(value: Any) -> str:
    """`value` as text that fits a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
