"""Configs of any era in the form of Keras 3.15."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kcompile.formats.function_table import BY_CLASS
from kcompile.formats.keras2_forms import KERAS_2_HARD_SIGMOID, is_hard_sigmoid
from kcompile.formats.legacy import inbound, keras1, keras2, operations
from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.objects import (
    is_object_key,
    plain_number,
    upgrade_activation,
    upgrade_dtype,
    upgrade_object,
)
from kcompile.formats.place import (
    Place,
    locating,
    require_dict,
    require_keys,
    require_known_keys,
    require_list,
    shorten,
)
from kcompile.layers import LAYERS
from kcompile.ops.naming import snake_case
from kcompile.ops.trace import unused_name

Config = dict[str, Any]
Path = tuple[str, ...]

_FUNCTIONAL = frozenset(("Functional", "Model"))
_MODELS = _FUNCTIONAL | {"Sequential"}
_MODULES = {
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "Sequential": "keras",
}
#: Of what stands for a layer or a model, in any era; the last two in the JSON of a model.
_ENVELOPE = (
    *("module", "class_name", "config", "registered_name", "build_config", "compile_config"),
    *("shared_object_id", "name", "inbound_nodes"),
)
_OF_A_FILE = ("keras_version", "backend")
#: Keys under which another layer stands, or a list of them.
_INNER = ("layer", "backward_layer", "cell", "cells")
#: Functions of Keras 3 by class name, for files that leave out the module.
_FUNCTIONS = {class_name: module for module, class_name in BY_CLASS}


@dataclass(frozen=True)
class Upgraded:
    """A model's config in today's form.

    Attributes:
        config: `module`, `class_name`, `config`, `registered_name`, as Keras 3.15 writes them.
        origins: the class in the file of each layer whose class is another one now, or whose
            weights had another form; by the names of the layers around it, outermost model
            excluded, and its own.
        renamed: the names in the file of layers that are called otherwise now, by such paths:
            `/` cannot stand in a name.
    """

    config: Config
    origins: dict[Path, str] = field(default_factory=dict)
    renamed: dict[Path, str] = field(default_factory=dict)


def upgrade(
    config: Any, era: Era, place: Place, activations: Mapping[str, str] | None = None
) -> Upgraded:
    """A config of any era in today's form.

    Args:
        config: of a model, as it stands in the file.
        era: what wrote it.
        place: of the config in the file.
        activations: what names stand for that no activation has, such as `<lambda>`.

    Raises:
        FormatError: it is malformed or holds what is not understood.
    """
    entry = require_dict(config, place)
    entry = {key: value for key, value in entry.items() if key not in _OF_A_FILE}
    upgrader = _Upgrader(era, activations or {}, entry)
    with locating({}, place):
        if _class_name(entry, place) not in _MODELS:
            # A class of the user's, perhaps; reading tells.
            return Upgraded(upgrader.layer(entry, place, ()))
        return Upgraded(upgrader.model(entry, place, ()), upgrader.origins, upgrader.renamed)


def _class_name(entry: Config, place: Place) -> str:
    require_keys(entry, ("class_name", "config"), place)
    name = entry["class_name"]
    if not isinstance(name, str):
        raise (place / "class_name").error(f"needs a string, got {shorten(name)}")
    return name


def _check_name(entry: Config, place: Place) -> None:
    """Check that a layer has one name, in its config and beside it; a model's may have none."""
    config = entry["config"]
    name = config.get("name", entry["name"]) if isinstance(config, dict) else entry["name"]
    is_prefixed = operations.is_operation(entry["class_name"])
    if name != entry["name"] and not is_prefixed:
        raise (place / "name").error(
            f"is {shorten(entry['name'])}, and in the config {shorten(name)}"
        )


def _has_old_nodes(layers: list[Any]) -> bool:
    """Whether the calls in a functional model are in the form of Keras 1 and 2."""
    for layer in layers:
        for node in layer.get("inbound_nodes", []):
            return not (isinstance(node, dict) and set(node) == {"args", "kwargs"})
    return False


class _Upgrader:
    """What the parts of a config have in common while it is rewritten."""

    def __init__(self, era: Era, activations: Mapping[str, str], config: Config) -> None:
        self.era = era
        self.activations = activations
        self.orderings = keras1.orderings(config)
        self.makes_masks = keras2.makes_masks(config)
        self.origins: dict[Path, str] = {}
        self.renamed: dict[Path, str] = {}

    # Models

    def model(self, entry: Config, place: Place, path: Path) -> Config:
        """A model; `path` is empty for the outermost, and ends in its own name for others."""
        require_known_keys(entry, _ENVELOPE, place)
        name = entry["class_name"]
        config = entry["config"]
        if name == "Sequential" and isinstance(config, list):
            config = {"layers": config}
        require_dict(config, place / "config")
        require_list(config.get("layers"), place / "config.layers")
        if name == "Sequential":
            if self.era.major < 3 and keras1.is_merged(config["layers"]):
                merged = keras1.merged_model(config, place / "config")
                return self.model({"class_name": "Model", "config": merged}, place, path)
            made = self._sequential(config, place / "config", path)
        else:
            made = self._functional(config, place / "config", path)
        made.setdefault("name", path[-1] if path else snake_case(name))
        return _envelope(_MODULES[name], name, made)

    def _sequential(self, config: Config, place: Place, path: Path) -> Config:
        entries = config["layers"]
        layers: list[Config] = []
        names: set[str] = set()
        for index, entry in enumerate(entries):
            at = (place / "layers")[index]
            layers.append(self._layer_of_model(require_dict(entry, at), at, path, names))
        made = {**config, "layers": layers}
        first = _first_input(entries[0], layers[0]) if entries else None
        if first is not None:
            made["layers"] = [first, *layers]
            made.pop("build_input_shape", None)
        return made

    def _layer_of_model(self, entry: Config, place: Place, path: Path, names: set[str]) -> Config:
        """A layer in a Sequential, under a name that none before it has if it has none."""
        config = entry.get("config")
        if isinstance(config, dict) and "name" in config:
            name = config["name"]
        else:
            name = unused_name(snake_case(_class_name(entry, place)), names)
        made = self.layer(entry, place, (*path, self._today(name, path, place)))
        names.add(made["config"]["name"])
        return made

    def _functional(self, config: Config, place: Place, path: Path) -> Config:
        entries = config["layers"]
        for index, entry in enumerate(entries):
            require_dict(entry, (place / "layers")[index])
            require_keys(entry, ("class_name", "config"), (place / "layers")[index])
        if not _has_old_nodes(entries):
            return self._functional_of_keras_3(config, place, path)
        require_keys(config, ("input_layers", "output_layers"), place)
        for index, entry in enumerate(entries):
            require_keys(entry, ("name", "inbound_nodes"), (place / "layers")[index])
        models = [entry for entry in entries if entry["class_name"] in _MODELS]
        used = [[entry["inbound_nodes"] for entry in entries], config["output_layers"]]
        names = inbound.Names(
            {entry["name"]: self._today(entry["name"], path, place) for entry in entries},
            inbound.first_calls(models, used),
        )
        layers = []
        for index, entry in enumerate(entries):
            at = (place / "layers")[index]
            _check_name(entry, at)
            layers.append(self._called(entry, names, at, (*path, names.renamed[entry["name"]])))
        functional = {layer["name"] for layer in layers if layer["class_name"] in _FUNCTIONAL}
        made = {**config, "layers": layers}
        for key in ("input_layers", "output_layers"):
            made[key] = inbound.upgrade_ends(config[key], names, functional, place / key)
        return made

    def _called(self, entry: Config, names: inbound.Names, place: Place, path: Path) -> Config:
        """A layer of a functional model with its calls."""
        nodes = require_list(entry["inbound_nodes"], place / "inbound_nodes")
        calls = [
            inbound.upgrade_node(node, names, (place / "inbound_nodes")[index])
            for index, node in enumerate(nodes)
        ]
        if operations.is_operation(entry["class_name"]):
            function, made = operations.upgrade_operation(entry, path[-1], calls, place)
            return {**function, "name": path[-1], "inbound_nodes": made}
        layer = self.layer(entry, place, path)
        made = [_call(layer["class_name"], *call) for call in calls]
        return {**layer, "name": path[-1], "inbound_nodes": made}

    def _functional_of_keras_3(self, config: Config, place: Place, path: Path) -> Config:
        layers = []
        for index, entry in enumerate(config["layers"]):
            name = entry.get("name")
            layer = self.layer(entry, (place / "layers")[index], (*path, name))
            layers.append({**entry, **layer})
        return {**config, "layers": layers}

    def _today(self, name: Any, path: Path, place: Place) -> str:
        """A layer's name, `/` replaced, which Keras 3 does not allow."""
        if not isinstance(name, str):
            raise (place / "name").error(f"needs a name, got {shorten(name)}")
        if "/" not in name and "\\" not in name:
            return name
        if "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise (place / "name").error(f"{shorten(name)} is not a name for a layer")
        today = name.replace("/", "_")
        self.renamed[(*path, today)] = name
        return today

    # Layers

    def layer(self, entry: Config, place: Place, path: Path) -> Config:
        """A layer or model as it stands among others; `path` ends in its name."""
        require_known_keys(entry, _ENVELOPE, place)
        class_name = _class_name(entry, place)
        if class_name in _MODELS and _is_of_keras(entry):
            made = self.model(entry, place, path)
            made["config"]["name"] = path[-1]
            return made
        config = dict(require_dict(entry["config"], place / "config"))
        if path:
            config["name"] = path[-1]
        if self.era.major >= 3:
            return self._layer_of_keras_3(entry, config, place, path)
        if not (_is_of_keras(entry) and self._is_known(class_name)):
            config = {
                key: self._object(key, value, place / "config" / key)
                for key, value in config.items()
                if key not in keras2.OF_INPUTS
            }
            return _of_user(entry, config)
        place = place / "config"
        if self._is_in_names_of_keras_1(class_name):
            if keras1.has_gates_apart(class_name, config):
                self.origins[path] = class_name
            class_name, config = keras1.upgrade_keys(class_name, config, self.orderings, place)
        class_name, config = keras2.upgrade_keys(class_name, config, place)
        if class_name == "UpSampling2D":
            config = keras2.upgrade_interpolation(config, self.era, place)
        is_masked = class_name == "Bidirectional" and self.makes_masks
        if is_masked and keras2.keeps_masked_outputs(config, self.era):
            config["zero_output_for_mask"] = False
        if self.era.backend == "theano":
            keras2.check_padding(class_name, config, place)
        if class_name != entry["class_name"]:
            self.origins[path] = entry["class_name"]
        return _envelope("keras.layers", class_name, self._values(config, place, path))

    def _is_in_names_of_keras_1(self, class_name: str) -> bool:
        """Keras 2 kept `Merge` for a while."""
        return self.era.major == 1 or class_name == "Merge"

    def _is_known(self, class_name: str) -> bool:
        """Whether Keras 1 or 2 had a layer of this class, which we have."""
        if self._is_in_names_of_keras_1(class_name):
            class_name = keras1.CLASSES.get(class_name, class_name)
        return keras2.CLASSES.get(class_name, class_name) in LAYERS

    def _layer_of_keras_3(self, entry: Config, config: Config, place: Place, path: Path) -> Config:
        """A layer or function of Keras 3; its HDF5 files leave out the modules."""
        class_name, module = entry["class_name"], entry.get("module")
        if not _is_of_keras(entry):
            return _of_user(entry, config)
        if module is None:
            # Functions and layers may share a name, such as Add; only layers have a dtype.
            is_layer = class_name in LAYERS and "dtype" in config
            is_function = class_name in _FUNCTIONS and not is_layer
            if not is_function and class_name not in LAYERS:
                return _of_user(entry, config)
            module = _FUNCTIONS[class_name] if is_function else "keras.layers"
        if module == "keras.layers":
            config = self._values(config, place / "config", path)
        return _envelope(module, class_name, config, entry.get("registered_name"))

    def _values(self, config: Config, place: Place, path: Path) -> Config:
        return {key: self._value(key, value, place / key, path) for key, value in config.items()}

    def _value(self, key: str, value: Any, place: Place, path: Path) -> Any:
        """The value of a key of a layer's config."""
        if key in _INNER and isinstance(value, list):
            return [self._inner(entry, place[i], path) for i, entry in enumerate(value)]
        if key in _INNER and value is not None:
            return self._inner(value, place, path)
        if key.endswith("activation") and is_hard_sigmoid(value):
            return KERAS_2_HARD_SIGMOID
        if key.endswith("activation") and _is_layer(value):
            return self._inner(value, place, path)
        return self._object(key, value, place)

    def _object(self, key: str, value: Any, place: Place) -> Any:
        """The value of a key of a config; layers stay as they are."""
        if key.endswith("activation"):
            return upgrade_activation(value, self.era, self.activations)
        if key == "dtype":
            return upgrade_dtype(value, place)
        if is_object_key(key):
            return upgrade_object(key, value, place)
        return plain_number(value)

    def _inner(self, value: Any, place: Place, path: Path) -> Config:
        """A layer inside of another one."""
        entry = require_dict(value, place)
        config = entry.get("config")
        name = config.get("name") if isinstance(config, dict) else None
        if name is None:
            name = snake_case(_class_name(entry, place))
        return self.layer(entry, place, (*path, self._today(name, path, place)))


def _is_layer(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") in LAYERS


def _is_of_keras(entry: Config) -> bool:
    """Whether the class may be one of Keras's, and not one of the user's of the same name.

    Keras writes null for the module of a user's class, and leaves that of its own out in HDF5.
    """
    module = entry.get("module")
    if "module" in entry and module is None and entry.get("registered_name") is not None:
        return False
    of_keras = module is None or str(module).partition(".")[0] in ("keras", "tensorflow")
    return of_keras and entry.get("registered_name") in (None, entry["class_name"])


def _of_user(entry: Config, config: Config) -> Config:
    """A layer of a class that the user knows, or nobody."""
    class_name = entry["class_name"]
    registered = entry.get("registered_name") or class_name
    made = _envelope(entry.get("module"), class_name.rpartition(">")[2], config, registered)
    return {**made, **{key: entry[key] for key in ("build_config",) if key in entry}}


def _envelope(
    module: str | None, class_name: str, config: Config, registered: Any = None
) -> Config:
    if class_name in _FUNCTIONAL:
        class_name = registered = "Functional"
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered,
    }


def _call(class_name: str, tensors: list[Any], keywords: Config) -> Config:
    """A layer's call; several tensors are a list of them, or the states of a recurrent layer."""
    given = {key: value for key, value in keywords.items() if value is not None}
    if len(tensors) == 1:
        return {"args": tensors, "kwargs": given}
    if class_name in keras2.RECURRENT:
        return {"args": tensors[:1], "kwargs": {**given, "initial_state": tensors[1:]}}
    return {"args": [tensors], "kwargs": given}


def _first_input(entry: Config, layer: Config) -> Config | None:
    """The input that the first layer of a Sequential brings, if there is none before it.

    Args:
        entry: the layer in the file.
        layer: the same in today's form.
    """
    if layer["class_name"] == "InputLayer":
        return None
    shape, dtype = _shape_of_input(entry, layer)
    if shape is None:
        return None
    name = f"{layer['config']['name']}_input"
    config = {"batch_shape": shape, "dtype": dtype or "float32", "name": name}
    return _envelope("keras.layers", "InputLayer", config)


def _shape_of_input(entry: Config, layer: Config) -> tuple[Any, Any]:
    """The batch shape and the element type of a first layer's input, None for unknown ones."""
    config = entry["config"]
    if entry["class_name"] in _FUNCTIONAL:
        inputs = [e for e in layer["config"]["layers"] if e["class_name"] == "InputLayer"]
        if len(inputs) != 1:
            return None, None
        return inputs[0]["config"].get("batch_shape"), inputs[0]["config"].get("dtype")
    if entry["class_name"] == "Sequential":
        inner = layer["config"]["layers"]
        if not inner or inner[0]["class_name"] != "InputLayer":
            return None, None
        return inner[0]["config"].get("batch_shape"), inner[0]["config"].get("dtype")
    dtype = config.get("input_dtype") or layer["config"].get("dtype")
    if isinstance(dtype, str) and dtype.startswith("mixed_"):
        dtype = "float32"
    return config.get("batch_input_shape"), dtype
