"""Configs to models. Class names are looked up in closed tables; every key is read or refused.

The tables are those of kcompile, and what the user registered or passed as `custom_objects`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kcompile import activations
from kcompile.formats.arguments import (
    check_layer_config,
    function_hints,
    require_type,
    unknown_objects,
)
from kcompile.formats.budget import check_weight_bytes
from kcompile.formats.calls import connect, decode
from kcompile.formats.function_table import BY_CLASS, KerasFunction
from kcompile.formats.place import (
    Place,
    locating,
    require_dict,
    require_keys,
    require_known_keys,
    require_list,
    shorten,
)
from kcompile.layers import LAYERS, Layer
from kcompile.models import Functional, Model, Sequential
from kcompile.ops.dispatch import FUNCTIONS, FunctionOperation
from kcompile.ops.limits import limited
from kcompile.ops.registry import CustomObjectScope, get_registered_object

Config = dict[str, Any]

#: The most layers of a model, those of models inside counted.
MAX_LAYERS = 50_000
MAX_NAME = 512
#: How many unknown classes a message names.
MAX_NAMED = 50

_MODELS: dict[str, type[Model]] = {
    "Functional": Functional,
    "Model": Functional,
    "Sequential": Sequential,
}
_MODEL_MODULES = (
    "keras",
    "keras.models",
    "keras.src.models.functional",
    "keras.src.models.model",
    "keras.src.models.sequential",
)
#: Of an object: `build_config` follows from the inputs, `compile_config` belongs to training, and
#: `shared_object_id` tells objects apart that are alike: a layer in two models is found by its
#: second copy's missing weights.
_ENVELOPE = (
    "module",
    "class_name",
    "config",
    "registered_name",
    "build_config",
    "compile_config",
    "shared_object_id",
)
_IN_FUNCTIONAL = (*_ENVELOPE, "name", "inbound_nodes")
#: Keys of a layer's config under which other layers or models stand, alone or in a list.
_INNER = ("layer", "backward_layer", "cell", "cells", "layers")
#: Where Keras says that functions are from.
_FUNCTION_MODULES = (None, "builtins", "keras.activations", "keras.src.activations.activations")


def read_model(config: Any, place: Place, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that a config describes.

    Args:
        config: in the form of Keras 3.15.
        place: of it, for messages.
        custom_objects: the user's classes and functions, by the names that the config has for them;
            what is registered is known as well.

    Raises:
        FormatError: it is malformed, names an unknown class or holds an unread key.
        SpecError: a layer does not take its arguments or inputs.
    """
    entry = require_dict(config, place)
    with CustomObjectScope(custom_objects), limited():
        _check_classes(entry, place)
        if not _is_model(_find(entry)):
            raise place.error(f"{shorten(entry['class_name'])} is a layer, not a model")
        model = _read(entry, place)
    check_weight_bytes(model, place)
    return model


def _custom_class(entry: Config) -> type[Layer] | None:
    """The user's class that an object asks for; None if it asks for none."""
    for key in ("registered_name", "class_name"):
        name = entry.get(key)
        found = get_registered_object(name) if isinstance(name, str) else None
        if isinstance(found, type) and issubclass(found, Layer):
            return found
    return None


def _find(entry: Config) -> type[Layer] | KerasFunction | None:
    """What an object's class name stands for; None if nothing."""
    custom = _custom_class(entry)
    if custom is not None:
        return custom
    module, name = entry["module"], entry["class_name"]
    if entry.get("registered_name") not in (None, name):
        return None
    if module in _MODEL_MODULES and name in _MODELS:
        return _MODELS[name]
    if module == "keras.layers":
        return LAYERS.get(name)
    return BY_CLASS.get((module, name))


def require_modules(entry: Config, place: Place) -> None:
    """Check that each layer of a model says what module its class is of, as Keras 3 writes it.

    Raises:
        FormatError: one does not.
    """
    require_keys(entry, ("module",), place)
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    for index, inner in enumerate(layers if isinstance(layers, list) else ()):
        if isinstance(inner, dict):
            require_modules(inner, (place / "config.layers")[index])


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Model)


def _check_classes(entry: Config, place: Place) -> None:
    """Check that every class and activation in a model, at any depth, is known.

    Raises:
        FormatError: it names all those that are not, or the model has too many layers.
    """
    unknown: dict[str, str] = {}
    for count, (inner, inner_place) in enumerate(_walk(entry, place)):
        if count > MAX_LAYERS:
            raise place.error(f"it has more than {MAX_LAYERS} layers")
        at = inner_place.of_layer.removeprefix(f"{place.file}: ")
        if inner["class_name"] == "Lambda" and _custom_class(inner) is None:
            raise inner_place.error(
                "a Lambda layer holds bytecode of Python, which is never run from a file",
                hint="Make the model in code with a layer of your own, then load the weights",
            )
        if _find(inner) is None:
            label = ".".join(str(inner[key]) for key in ("module", "class_name") if inner[key])
            unknown[inner["class_name"]] = f"{_short(label)} ({at})"
        elif _custom_class(inner) is None:
            for name, label in _unknown_functions(inner["config"], inner_place / "config"):
                unknown[name] = f"the function {_short(label)} ({at})"
            for name, label in unknown_objects(inner["config"]):
                unknown[name] = f"{_short(label)} ({at})"
    if unknown:
        kinds = "these classes are" if len(unknown) > 1 else "this class is"
        passed = ", ".join(f"'{_short(name)}': ..." for name in list(unknown)[:MAX_NAMED])
        raise place.error(
            f"{kinds} not known: {', '.join(list(unknown.values())[:MAX_NAMED])}",
            hint=f"If they are yours, pass custom_objects={{{passed}}} or register them"
            " (kcompile.saving.register_keras_serializable); or make the model in code, then load"
            " the weights. What a function is, --activation 'NAME=relu' tells",
        )


def _short(name: str) -> str:
    return shorten(name)[1:-1]


def _unknown_functions(config: Config, place: Place) -> Iterator[tuple[str, str]]:
    """The activations that stand for nothing: names, and the same with their modules."""
    for key, value in config.items():
        if not key.endswith("activation") or not isinstance(value, dict):
            continue
        below = place / key
        if value.get("class_name") == "__lambda__":
            raise below.error(
                "it is bytecode of Python, which is never run from a file",
                hint="Say what it computes: activations={'<lambda>': 'relu'}",
            )
        if value.get("class_name") != "function":
            continue
        require_known_keys(value, _ENVELOPE, below)
        name = value.get("config")
        if not isinstance(name, str):
            raise (below / "config").error(f"needs a name, got {shorten(name)}")
        registered = value.get("registered_name")
        keys = [key for key in (registered, name) if isinstance(key, str)]
        if any(get_registered_object(key) is not None for key in keys):
            continue
        if registered not in (None, "function", name):
            yield registered, str(registered)
        elif value.get("module") not in _FUNCTION_MODULES:
            yield name, f"{value['module']}.{name}"
        elif not activations.is_name(name):
            yield name, name


def _walk(entry: Config, place: Place) -> Iterator[tuple[Config, Place]]:
    """Every object that stands for a layer, model or function, with its place."""
    stack = [(entry, place)]
    while stack:
        inner, inner_place = stack.pop()
        require_keys(inner, ("module", "class_name", "config"), inner_place)
        for key in ("module", "class_name"):
            # A class of the user's has no module where Keras cannot import it.
            if not isinstance(inner[key], str) and (key, inner[key]) != ("module", None):
                raise (inner_place / key).error(f"needs a string, got {shorten(inner[key])}")
        require_dict(inner["config"], inner_place / "config")
        yield inner, inner_place
        if _custom_class(inner) is not None:
            continue
        if _is_model(_find(inner)):
            require_list(inner["config"].get("layers"), inner_place / "config.layers")
        below = _objects_inside(inner["config"], inner_place / "config")
        stack += [(require_dict(*pair), pair[1]) for pair in reversed(below)]


def _objects_inside(config: Config, place: Place) -> list[tuple[Any, Place]]:
    """What stands for layers and models in a config, with its places."""
    found: list[tuple[Any, Place]] = []
    for key, value in config.items():
        if key in _INNER and isinstance(value, list):
            found += [(entry, (place / key)[index]) for index, entry in enumerate(value)]
        elif _is_inside(key, value):
            found.append((value, place / key))
    return found


def _is_inside(key: str, value: Any) -> bool:
    """Whether a value in a config stands for a layer or model; an activation may."""
    if key.endswith("activation"):
        return isinstance(value, dict) and value.get("module") == "keras.layers"
    return key in _INNER and value is not None


def _read(entry: Config, place: Place) -> Any:
    """The layer, model or function that an object stands for."""
    found = _find(entry)
    if _custom_class(entry) is not None:
        return _read_custom(found, entry, place)
    if isinstance(found, KerasFunction):
        config = {"name": entry.get("name"), **entry["config"]}  # Keras's ExtractPatches has none
        _read_name(config, place / "config")
        return _read_function(found, config, place / "config")
    _read_name(entry["config"], place / "config")
    if _is_model(found):
        return _read_model(entry, place)
    assert isinstance(found, type)
    return _read_layer(found, entry["config"], place)


def _read_name(config: Config, place: Place) -> str:
    name = config.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise (place / "name").error(f"needs a name, got {shorten(name)}")
    if "/" in name or "\\" in name:
        raise (place / "name").error(f"{shorten(name)} is a path, not a name")
    return name


def _read_custom(cls: Any, entry: Config, place: Place) -> Layer:
    """An instance of a class of the user's, whose config only that class understands."""
    layer = None
    with locating({}, place):
        layer = cls.from_config(entry["config"])
        shape = (entry.get("build_config") or {}).get("input_shape")
        if isinstance(layer, Model) and not layer.built and shape is not None:
            layer.build(_shape_of(shape))
    if not isinstance(layer, cls):
        raise place.error(f"{cls.__name__}.from_config gave {shorten(layer)}")
    return layer


def _shape_of(shape: Any) -> Any:
    """A shape, or a structure of them, with tuples in place of lists of numbers."""
    if isinstance(shape, dict):
        return {key: _shape_of(entry) for key, entry in shape.items()}
    if isinstance(shape, list) and all(size is None or type(size) is int for size in shape):
        return tuple(shape)
    if isinstance(shape, list):
        return [_shape_of(entry) for entry in shape]
    return shape


def _read_layer(cls: type[Layer], config: Config, place: Place) -> Layer:
    check_layer_config(cls, config, place / "config")
    config = _with_layers(config, place / "config")
    with locating({config["name"]: place}, place):
        return cls.from_config(config)


def _with_layers(config: Config, place: Place) -> Config:
    """The config with layers and models in place of what stands for them."""

    def read(entry: Config, below: Place) -> Any:
        require_known_keys(entry, _ENVELOPE, below)
        return _read(entry, below)

    made = dict(config)
    for key, value in config.items():
        if key in _INNER and isinstance(value, list):
            made[key] = [read(entry, (place / key)[i]) for i, entry in enumerate(value)]
        elif _is_inside(key, value):
            made[key] = read(value, place / key)
    return made


def _read_function(
    function: KerasFunction, config: Config, place: Place
) -> tuple[FunctionOperation, Config]:
    """A function as a step, and those of its arguments that the config holds."""
    known = ("name", *function.attributes, *function.inert)
    require_known_keys(config, known, place)
    require_keys(config, function.attributes, place)
    hints = function_hints(FUNCTIONS[function.name])
    attributes = {key: decode(config[key], place / key) for key in function.attributes}
    for key, value in attributes.items():
        require_type(value, hints[key], place / key)
    for key, value in function.inert.items():
        if config.get(key, value) != value:
            raise (place / key).error(f"needs {value!r}, got {shorten(config[key])}")
    return FunctionOperation(function.name, config["name"]), attributes


def _read_model(entry: Config, place: Place) -> Model:
    config = entry["config"]
    _read_name(config, place / "config")
    require_known_keys(entry, _IN_FUNCTIONAL, place)
    trainable = config.get("trainable", True)
    if not isinstance(trainable, bool):
        raise (place / "config.trainable").error(f"needs true or false, got {shorten(trainable)}")
    if _find(entry) is Sequential:
        return _read_sequential(config, trainable, place)
    return _read_functional(config, trainable, place)


def _read_sequential(config: Config, trainable: bool, place: Place) -> Sequential:
    known = ("name", "trainable", "dtype", "layers", "build_input_shape")
    require_known_keys(config, known, place / "config")
    layers, places = [], {}
    for index, entry in enumerate(config["layers"]):
        below = (place / "config.layers")[index]
        require_known_keys(entry, _ENVELOPE, below)
        layer = _read(entry, below)
        if not isinstance(layer, Layer):
            raise below.error("a function cannot stand in a Sequential")
        if layer.name in places:
            raise below.error(f"two layers are named '{layer.name}'")
        layers.append(layer)
        places[layer.name] = below
    shape = config.get("build_input_shape")
    require_type(shape, list[int | None] | None, place / "config.build_input_shape")
    with locating(places, place):
        model = Sequential(
            layers, trainable=trainable, name=config["name"], dtype=config.get("dtype")
        )
        if shape is not None and not model.built:
            model.build(shape)
    return model


def _read_functional(config: Config, trainable: bool, place: Place) -> Functional:
    known = ("name", "trainable", "layers", "input_layers", "output_layers")
    require_known_keys(config, known, place / "config")
    require_keys(config, ("layers", "input_layers", "output_layers"), place / "config")
    operations: dict[str, Any] = {}
    places = {}
    for index, entry in enumerate(config["layers"]):
        below = (place / "config.layers")[index]
        require_known_keys(entry, _IN_FUNCTIONAL, below)
        require_keys(entry, ("name", "inbound_nodes"), below)
        operation = _read(entry, below)
        name = entry["config"].get("name", entry["name"])
        if entry["name"] != name:
            raise (below / "name").error(f"is {shorten(entry['name'])}, and in the config '{name}'")
        if name in operations:
            raise below.error(f"two layers are named '{name}'")
        operations[name] = operation
        places[name] = below
    nodes = {entry["name"]: entry["inbound_nodes"] for entry in config["layers"]}
    inputs, outputs = connect(config, operations, nodes, places, place / "config")
    with locating(places, place):
        model = Functional(inputs, outputs, name=config["name"], trainable=trainable)
    unused = set(operations) - {operation.name for operation in model.operations}
    for name, below in places.items():
        if name in unused:
            raise below.error(f"no output depends on the layer '{name}'")
    return model
