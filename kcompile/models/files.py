"""Models from files, and to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.models.model import Model
from kcompile.ops.door import service
from kcompile.ops.missing import missing

_FILES = (
    "a model is saved as its architecture, by model.to_json(), and its weights, by"
    " model.save_weights(); whole .keras files are not there yet"
)
load_model = missing("models.load_model", _FILES)
save_model = missing("models.save_model", _FILES)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that an architecture JSON describes, with initial weights.

    Raises:
        FormatError: it is none, or holds what a file may not hold.
        NotImplementedError: there are custom objects.
    """
    if custom_objects:
        raise NotImplementedError(
            "models.model_from_json: a file holds kcompile's own layers alone; make a model with"
            " layers of your own in code, and load its weights"
        )
    model: Model = service("from_json")(json_string)
    return model
