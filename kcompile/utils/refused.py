"""Names of `keras.utils` that are not there yet, each with its reason."""

from __future__ import annotations

from typing import Any, NoReturn

_REGISTRY = (
    "files name classes of kcompile alone, which it looks up in a closed table; make a model with"
    " layers of your own in code, and load its weights"
)
_REASONS = {
    "FeatureSpace": "preprocess with the layers that it is made of",
    "Progbar": "fit, evaluate and predict show their own; see callbacks.ProgbarLogger",
    "audio_dataset_from_directory": "decode the files with a library, and give arrays to fit",
    "custom_object_scope": _REGISTRY,
    "deserialize_keras_object": _REGISTRY,
    "get_custom_objects": _REGISTRY,
    "get_registered_name": _REGISTRY,
    "get_registered_object": _REGISTRY,
    "register_keras_serializable": _REGISTRY,
    "serialize_keras_object": _REGISTRY,
}


def _refusing(name: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"utils.{name} is not there yet: {_REASONS[name]}")

    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = f"Refused for now: {_REASONS[name]}."
    return refused


FeatureSpace = _refusing("FeatureSpace")
Progbar = _refusing("Progbar")
audio_dataset_from_directory = _refusing("audio_dataset_from_directory")
custom_object_scope = CustomObjectScope = _refusing("custom_object_scope")
deserialize_keras_object = _refusing("deserialize_keras_object")
get_custom_objects = _refusing("get_custom_objects")
get_registered_name = _refusing("get_registered_name")
get_registered_object = _refusing("get_registered_object")
register_keras_serializable = _refusing("register_keras_serializable")
serialize_keras_object = _refusing("serialize_keras_object")
