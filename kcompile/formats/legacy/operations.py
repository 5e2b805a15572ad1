"""Functions of TensorFlow between layers, as tf.keras wrote them, as functions of `kcompile.ops`.

`TFOpLambda` and `SlicingOpLambda` name a function and keep its arguments with the call;
`TensorFlowOpLayer` of earlier releases holds a node of TensorFlow's graph and its constants.
"""

from __future__ import annotations

import inspect
from typing import Any

from kcompile.formats.function_table import BY_NAME
from kcompile.formats.legacy.tensorflow_functions import NODES, RULES, TYPES, Rule
from kcompile.formats.place import (
    Place,
    require_dict,
    require_keys,
    require_known_keys,
    shorten,
)
from kcompile.ops.dispatch import FUNCTIONS

Config = dict[str, Any]
Calls = list[tuple[list[Any], Config]]

_CLASSES = frozenset(
    (
        *("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"),
        *("ClassMethod", "InstanceMethod", "InstanceProperty"),
    )
)
_GET_ITEM = "__operators__.getitem"


def is_operation(class_name: str) -> bool:
    """Whether a layer of this class stands for a function of TensorFlow."""
    return class_name in _CLASSES


def upgrade_operation(
    entry: Config, name: str, calls: Calls, place: Place
) -> tuple[Config, list[Config]]:
    """A function of TensorFlow as one of Keras 3: the object that stands for it, and its call.

    Args:
        entry: of the layer in the file.
        name: of the layer today.
        calls: tensors and keyword arguments of each.
        place: of the entry.

    Raises:
        FormatError: there is none that computes the same, or it is called several times.
    """
    config = require_dict(entry["config"], place / "config")
    if len(calls) != 1:
        raise place.error(f"a function is called once, and this one {len(calls)} times")
    tensors, keywords = calls[0]
    if entry["class_name"] == "TensorFlowOpLayer":
        theirs, tensors, keywords = _of_node(config, tensors, place / "config")
    else:
        require_known_keys(
            config, ("name", "trainable", "dtype", "function", "symbol"), place / "config"
        )
        theirs = str(config.get("function", config.get("symbol")))
    if theirs == _GET_ITEM:
        return _get_item(name, tensors, keywords, place)
    if theirs not in RULES:
        raise place.error(
            f"the function {shorten(theirs)} of TensorFlow has no counterpart here",
            hint="Make the model in code, then load the weights",
        )
    values = _values(RULES[theirs], theirs, tensors, keywords, place)
    return _function(RULES[theirs].name, name, values, place)


def _values(rule: Rule, theirs: str, tensors: list[Any], keywords: Config, place: Place) -> Config:
    """The arguments of our function, by name."""
    first = next(iter(rule.parameters.values()))
    if rule.is_of_list:
        tensors = [tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list) else tensors]
    if len(tensors) > 1:
        raise place.error(f"'{theirs}' takes one tensor by position, got {len(tensors)}")
    values = {**rule.fixed, **({first: tensors[0]} if tensors else {})}
    for key, value in keywords.items():
        if key == "name" or value is None:
            continue
        if key in rule.inert:
            if value not in rule.inert[key]:
                raise place.error(f"'{theirs}' with {key}={shorten(value)} has no counterpart here")
        elif key in rule.parameters:
            ours = rule.parameters[key]
            values[ours] = rule.convert.get(ours, lambda same: same)(value)
        else:
            raise place.error(f"'{theirs}' has no argument {shorten(key)} that is understood")
    for key in rule.required:
        if key not in values:
            raise place.error(f"'{theirs}' without {key} has no counterpart here")
    return values


def _function(ours: str, name: str, values: Config, place: Place) -> tuple[Config, list[Config]]:
    function = BY_NAME[ours]
    config: Config = {"name": name, **function.inert}
    args: list[Any] = []
    for key, parameter in inspect.signature(FUNCTIONS[ours]).parameters.items():
        if key not in values and parameter.default is parameter.empty:
            raise place.error(f"the argument '{key}' of '{ours}' is missing")
        value = values.get(key, parameter.default)
        if key in function.attributes:
            config[key] = value
        else:
            args.append(_argument(value))
    return _envelope(function, config), [{"args": args, "kwargs": {}}]


def _envelope(function: Any, config: Config) -> Config:
    return {
        "module": function.module,
        "class_name": function.class_name,
        "config": config,
        "registered_name": function.class_name,
    }


def _argument(value: Any) -> Any:
    """An argument of a call; lists of numbers are arrays."""
    numbers = _numbers(value)
    if not isinstance(value, list) or numbers is None:
        return value
    dtype = "float32" if any(isinstance(number, float) for number in numbers) else "int32"
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}


def _numbers(value: Any) -> list[Any] | None:
    """All numbers in lists of lists; None if something else is there."""
    if not isinstance(value, list):
        return [value] if isinstance(value, (int, float)) else None
    found: list[Any] = []
    for entry in value:
        inner = _numbers(entry)
        if inner is None:
            return None
        found += inner
    return found


def _get_item(
    name: str, tensors: list[Any], keywords: Config, place: Place
) -> tuple[Config, list[Config]]:
    require_known_keys(keywords, ("slice_spec", "var", "name"), place)
    require_keys(keywords, ("slice_spec",), place)
    if len(tensors) != 1:
        raise place.error(f"a slice is of one tensor, got {len(tensors)}")
    spec = keywords["slice_spec"]
    key = [_index(entry, place) for entry in (spec if isinstance(spec, list) else [spec])]
    function = BY_NAME["get_item"]
    return _envelope(function, {"name": name}), [{"args": [tensors[0], key], "kwargs": {}}]


def _index(value: Any, place: Place) -> Any:
    """An index as Keras 3 writes it: a number, None for a new axis, a slice or an ellipsis."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, dict) and set(value) == {"start", "stop", "step"}:
        return {"class_name": "__slice__", "config": value}
    if value in ("...", {"class_name": "__ellipsis__"}):
        return {"class_name": "__ellipsis__", "config": {}}
    raise place.error(f"{shorten(value)} is not understood as an index")


def _of_node(config: Config, tensors: list[Any], place: Place) -> tuple[str, list[Any], Config]:
    """The function, tensors and keyword arguments of a node of TensorFlow's graph."""
    require_known_keys(config, ("name", "trainable", "dtype", "node_def", "constants"), place)
    require_keys(config, ("node_def",), place)
    node = config["node_def"]
    if not isinstance(node, dict):
        raise (place / "node_def").error(
            f"a node of TensorFlow's graph in this form is not understood: {shorten(node)}",
            hint="Save the model with tf.keras 2.3 or later",
        )
    op = node.get("op")
    if op not in NODES:
        raise (place / "node_def").error(
            f"TensorFlow's operation {shorten(op)} has no counterpart here",
            hint="Make the model in code, then load the weights",
        )
    function, parameters, attributes = NODES[op]
    inputs = _with_constants(tensors, config.get("constants") or {}, place / "constants")
    if len(inputs) != len(parameters):
        raise place.error(f"{op} takes {len(parameters)} inputs, got {len(inputs)}")
    keywords = dict(zip(parameters, inputs, strict=True))
    for key, value in require_dict(node.get("attr", {}), place / "node_def.attr").items():
        if key in TYPES or key.startswith("_"):
            continue
        if key not in attributes or not isinstance(value, dict) or set(value) != {"b"}:
            raise (place / "node_def.attr" / key).error("this attribute is not understood")
        keywords[attributes[key]] = value["b"]
    return function, [], keywords


def _with_constants(tensors: list[Any], constants: Any, place: Place) -> list[Any]:
    """All inputs of a node in order: tensors, and constants at their places."""
    by_index = {}
    for key, value in require_dict(constants, place).items():
        if not key.isdecimal():
            raise (place / key).error("needs the number of an input")
        by_index[int(key)] = value
    rest = list(tensors)
    inputs = []
    for index in range(len(tensors) + len(by_index)):
        if index in by_index:
            inputs.append(by_index[index])
        elif rest:
            inputs.append(rest.pop(0))
    return inputs
