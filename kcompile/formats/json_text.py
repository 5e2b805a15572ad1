"""JSON, strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError

MAX_CHARACTERS = 2**26
MAX_DEPTH = 200
#: Integers of today's machines have fewer digits.
MAX_DIGITS = 20


def parse_json(text: str, place: Place) -> Any:
    """The value that `text` stands for.

    Raises:
        FormatError: it is not JSON, repeats a key in an object, has a number that is not finite or
            an absurdly long one, or is too long or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise place.error(f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are read")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise place.error(f"the key {twice!r} stands twice in one object")
        return result

    def constant(name: str) -> Any:
        raise place.error(f"{name} is not a number of JSON")

    def integer(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise place.error(f"the number {digits[:MAX_DIGITS]}... is too long")
        return int(digits)

    def real(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            raise place.error(f"the number {digits[:MAX_DIGITS]} is too large")
        return number

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=integer,
            parse_float=real,
        )
    except json.JSONDecodeError as error:
        raise place.error(f"it is not JSON: {error}") from error
    except RecursionError:
        raise _too_deep(place) from None
    require_shallow(value, place)
    return value


def require_shallow(value: Any, place: Place) -> None:
    """Check that lists and objects are not nested more than `MAX_DEPTH` deep.

    Raises:
        FormatError: they are.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for entry in level:
            if isinstance(entry, dict):
                inner += entry.values()
            elif isinstance(entry, (list, tuple)):
                inner += entry
        if not inner:
            return
        level = inner
    raise _too_deep(place)


def _too_deep(place: Place) -> FormatError:
    return place.error(f"lists and objects are nested more than {MAX_DEPTH} deep")
