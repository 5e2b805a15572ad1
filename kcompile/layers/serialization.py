"""Single layers to configs and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.layers.base import Layer
from kcompile.layers.config import serialized
from kcompile.layers.nesting import layer_of


def serialize(layer: Layer) -> dict[str, Any]:
    """The config of a layer with its class, in Keras 3's form."""
    return serialized(layer)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None
) -> Any:
    """The layer that a config describes.

    Args:
        config: what `serialize` gives.
        custom_objects: further classes by name.

    Raises:
        SpecError: the class is not known, or does not take the arguments.
    """
    name = config.get("class_name")
    if custom_objects and isinstance(name, str) and name in custom_objects:
        return custom_objects[name].from_config(config.get("config") or {})
    return layer_of(config)
