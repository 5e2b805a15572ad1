"""Architecture JSON, in the form of Keras 3's `model.to_json()`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcompile.formats.json_text import MAX_CHARACTERS, parse_json, require_shallow
from kcompile.formats.place import Place
from kcompile.formats.reading import read_model
from kcompile.formats.writing import model_config
from kcompile.ir.errors import FormatError, SpecError
from kcompile.models import Model


def to_json(model: Model, **options: Any) -> str:
    """The architecture of a model as JSON text, which Keras 3.15 reads as well.

    Args:
        model: a sequential or functional model.
        options: of `json.dumps`, such as `indent`.

    Raises:
        SpecError: a part of the model has no form in a file.
    """
    config = model_config(model)
    try:
        return json.dumps(config, **{"allow_nan": False, **options})
    except (TypeError, ValueError) as error:
        what = "value" if isinstance(error, TypeError) else "number"
        raise SpecError(
            f"JSON has no form for a {what} in it: {error}", where=f"model '{model.name}'"
        ) from error


def from_json(
    text: str | Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
    *,
    where: str = "model.json",
) -> Model:
    """The model that an architecture JSON describes, with initial weights.

    Args:
        text: the JSON text, or the object that it stands for.
        custom_objects: the user's classes and functions, by the names that the text has for them.
        where: the file's name, for messages.

    Raises:
        FormatError: the text is not such a JSON, or asks for something that a file may not ask.
        SpecError: a layer does not take its arguments, or its inputs.
    """
    place = Place(where)
    if not isinstance(text, Mapping):
        return read_model(parse_json(text, place), place, custom_objects)
    require_shallow(text, place)
    return read_model(dict(text), place, custom_objects)


def load_architecture(path: str | Path) -> Model:
    """The model that an architecture JSON file describes, with initial weights.

    Raises:
        FormatError: the file cannot be read, or as from `from_json`.
        SpecError: as from `from_json`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise FormatError(f"it has {path.stat().st_size} bytes", where=str(path))
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise FormatError(
            "it is not text in UTF-8",
            where=str(path),
            hint="An architecture is JSON, as model.to_json() gives it",
        ) from error
    return from_json(text, where=path.name)
