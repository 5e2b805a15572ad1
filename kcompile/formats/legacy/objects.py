"""Initializers, regularizers, constraints, activations and element types in configs of any era."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile import activations
from kcompile.formats.keras2_forms import KERAS_2_HARD_SIGMOID
from kcompile.formats.legacy.era import Era
from kcompile.formats.place import Place, require_dict, require_keys, shorten

Config = dict[str, Any]

#: The name of all functions without one.
LAMBDA = "<lambda>"

#: How TensorFlow names its functions, where Keras has another name.
_FUNCTIONS_OF_TENSORFLOW = {"softmax_v2": "softmax"}
_MODULES = {
    "_initializer": "keras.initializers",
    "_regularizer": "keras.regularizers",
    "_constraint": "keras.constraints",
}
_CLASSES = {"GlorotNormalV2": "GlorotNormal", "GlorotUniformV2": "GlorotUniform"}
#: Keys of Keras 1, by class; and the regularizers that it wrote under other names.
_KEYS_OF_KERAS_1 = {"MaxNorm": {"m": "max_value"}}
_CLASSES_OF_KERAS_1 = {
    "WeightRegularizer": "L1L2",
    "ActivityRegularizer": "L1L2",
    "L1L2Regularizer": "L1L2",
}


def is_object_key(key: str) -> bool:
    """Whether a config key holds an initializer, a regularizer or a constraint."""
    return key.endswith(tuple(_MODULES))


def upgrade_object(key: str, value: Any, place: Place) -> Any:
    """An initializer, a regularizer or a constraint in today's form; names stay names.

    Raises:
        FormatError: it is malformed.
    """
    if not isinstance(value, dict):
        return value
    module = next(name for ending, name in _MODULES.items() if key.endswith(ending))
    is_named = value.get("registered_name") in (None, value.get("class_name"))
    if value.get("module", module) != module or not is_named:
        return value  # of the user's, perhaps; reading tells
    if "class_name" in value:
        require_keys(value, ("config",), place)
        name, config = value["class_name"], require_dict(value["config"], place / "config")
    else:  # Keras 1 wrote name and arguments into one object
        require_keys(value, ("name",), place)
        name, config = value["name"], {k: v for k, v in value.items() if k != "name"}
    if not isinstance(name, str):
        raise (place / "class_name").error(f"needs a string, got {shorten(name)}")
    name = _CLASSES_OF_KERAS_1.get(name, _CLASSES.get(name, name))
    renamed = _KEYS_OF_KERAS_1.get(name, {})
    config = {renamed.get(key, key): plain_number(entry) for key, entry in config.items()}
    if module == "keras.initializers":
        config.pop("dtype", None)  # of the weight, which its layer decides
    if name == "VarianceScaling" and config.get("distribution") == "normal":
        config["distribution"] = "truncated_normal"  # as it was called when there was no other
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def plain_number(value: Any) -> Any:
    """A number that is written as an array of rank 0, as a number."""
    if isinstance(value, dict) and set(value) == {"type", "value"} and value["type"] == "ndarray":
        return value["value"]
    return value


def upgrade_activation(value: Any, era: Era, named: Mapping[str, str]) -> Any:
    """The name of an activation as it is today; a function of the user's by its name.

    Args:
        value: as it stands in the file.
        era: of the file.
        named: what names stand for that no activation has.
    """
    name = value
    if isinstance(value, dict) and value.get("class_name") == "function":
        name = value.get("config")
        if not _is_of_keras(value):
            return named.get(name, value) if isinstance(name, str) else value
    elif _is_bytecode(value):
        name = LAMBDA
    if not isinstance(name, str):
        return value
    if name in named:
        return named[name]
    if era.major >= 3:
        return value
    name = _FUNCTIONS_OF_TENSORFLOW.get(name, name)
    if name == "hard_sigmoid":
        return KERAS_2_HARD_SIGMOID
    if activations.is_name(name):
        return name
    # Only the user knows it, and `<lambda>` is a name that says nothing.
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def _is_of_keras(function: dict[str, Any]) -> bool:
    """Whether a function may be one of Keras's, and not one of the user's of the same name."""
    top = str(function.get("module") or "builtins").partition(".")[0]
    registered = function.get("registered_name")
    return top in ("builtins", "keras", "tensorflow") and registered in (
        *(None, "function"),
        function.get("config"),
    )


def _is_bytecode(value: Any) -> bool:
    """Whether it is code of Python, of a function without a name."""
    return isinstance(value, dict) and (
        value.get("class_name") == "__lambda__" or set(value) == {"value"}
    )


def upgrade_dtype(value: Any, place: Place) -> Any:
    """A dtype policy in today's form: its name.

    Raises:
        FormatError: it is malformed.
    """
    if not isinstance(value, dict):
        return value
    require_keys(value, ("class_name", "config"), place)
    config = require_dict(value["config"], place / "config")
    if value["class_name"] not in ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"):
        return value
    return config.get("name")
