"""Models from files, and to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.models.model import Model
from kcompile.ops.door import service


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    **options: Any,
) -> Model:
    """The model in a file of any version of Keras; see `kcompile.formats.loading.load_model`."""
    model: Model = service("load_model")(filepath, custom_objects, compile, safe_mode, **options)
    return model


def save_model(model: Model, filepath: Any, overwrite: bool = True, **options: Any) -> None:
    """Write a model to a file; see `kcompile.formats.saving.save_model`."""
    service("save_model")(model, filepath, overwrite, **options)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that an architecture JSON describes, with initial weights.

    Raises:
        FormatError: it is none, or holds what a file may not hold.
    """
    model: Model = service("from_json")(json_string, custom_objects)
    return model
