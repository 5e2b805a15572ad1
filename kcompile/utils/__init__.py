"""Utilities around data and files."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.config import (
        disable_interactive_logging,
        enable_interactive_logging,
        is_interactive_logging_enabled,
    )
    from kcompile.ops.batches import pack_x_y_sample_weight, unpack_x_y_sample_weight
    from kcompile.saving import (
        CustomObjectScope,
        custom_object_scope,
        deserialize_keras_object,
        get_custom_objects,
        get_registered_name,
        get_registered_object,
        register_keras_serializable,
        serialize_keras_object,
    )
    from kcompile.utils.directories import (
        image_dataset_from_directory,
        text_dataset_from_directory,
    )
    from kcompile.utils.files import ChecksumError, DownloadError, get_file
    from kcompile.utils.folders import cache_dir
    from kcompile.utils.images import array_to_img, img_to_array, load_img, save_img
    from kcompile.utils.numerical import normalize, to_categorical
    from kcompile.utils.plotting import model_to_dot, plot_model
    from kcompile.utils.py_dataset import PyDataset
    from kcompile.utils.py_dataset import PyDataset as Sequence
    from kcompile.utils.random import clear_session, set_random_seed
    from kcompile.utils.refused import FeatureSpace, Progbar, audio_dataset_from_directory
    from kcompile.utils.sequences import (
        pad_sequences,
        split_dataset,
        timeseries_dataset_from_array,
    )
    from kcompile.utils.tensors import (
        get_source_inputs,
        is_keras_tensor,
        standardize_dtype,
    )

#: The module of each name; importing all of them takes longer than compiling a small model.
_NAMES = {
    "ChecksumError": "kcompile.utils.files",
    "CustomObjectScope": "kcompile.saving",
    "DownloadError": "kcompile.utils.files",
    "FeatureSpace": "kcompile.utils.refused",
    "Progbar": "kcompile.utils.refused",
    "PyDataset": "kcompile.utils.py_dataset",
    "Sequence": "kcompile.utils.py_dataset",
    "array_to_img": "kcompile.utils.images",
    "audio_dataset_from_directory": "kcompile.utils.refused",
    "cache_dir": "kcompile.utils.folders",
    "clear_session": "kcompile.utils.random",
    "custom_object_scope": "kcompile.saving",
    "deserialize_keras_object": "kcompile.saving",
    "disable_interactive_logging": "kcompile.config",
    "enable_interactive_logging": "kcompile.config",
    "get_custom_objects": "kcompile.saving",
    "get_file": "kcompile.utils.files",
    "get_registered_name": "kcompile.saving",
    "get_registered_object": "kcompile.saving",
    "get_source_inputs": "kcompile.utils.tensors",
    "image_dataset_from_directory": "kcompile.utils.directories",
    "img_to_array": "kcompile.utils.images",
    "is_interactive_logging_enabled": "kcompile.config",
    "is_keras_tensor": "kcompile.utils.tensors",
    "load_img": "kcompile.utils.images",
    "model_to_dot": "kcompile.utils.plotting",
    "normalize": "kcompile.utils.numerical",
    "pack_x_y_sample_weight": "kcompile.ops.batches",
    "pad_sequences": "kcompile.utils.sequences",
    "plot_model": "kcompile.utils.plotting",
    "register_keras_serializable": "kcompile.saving",
    "save_img": "kcompile.utils.images",
    "serialize_keras_object": "kcompile.saving",
    "set_random_seed": "kcompile.utils.random",
    "split_dataset": "kcompile.utils.sequences",
    "standardize_dtype": "kcompile.utils.tensors",
    "text_dataset_from_directory": "kcompile.utils.directories",
    "timeseries_dataset_from_array": "kcompile.utils.sequences",
    "to_categorical": "kcompile.utils.numerical",
    "unpack_x_y_sample_weight": "kcompile.ops.batches",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        attribute = "PyDataset" if name == "Sequence" else name
        return getattr(importlib.import_module(_NAMES[name]), attribute)
    raise AttributeError(f"module 'kcompile.utils' has no attribute {name!r}")


__all__ = [
    "ChecksumError",
    "CustomObjectScope",
    "DownloadError",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "cache_dir",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
