"""Calls between the layers of a functional model, made again from a config."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.formats.functions import call_function
from kcompile.formats.place import (
    Place,
    locating,
    require_dict,
    require_keys,
    require_known_keys,
    require_list,
    shorten,
)
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.layers.augmentation.base import ImageAugmentation
from kcompile.layers.core import InputLayer
from kcompile.models import Functional
from kcompile.ops.structure import leaves
from kcompile.ops.tensor import KerasTensor

Config = dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """A result of a call: which layer, which of its calls, which result; and its shape, if told."""

    layer: str
    node: int
    tensor: int
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Call:
    """A call of a layer with its arguments; tensors among them are references."""

    args: list[Any]
    kwargs: Config
    place: Place

    @property
    def references(self) -> list[Reference]:
        return [*_references(self.args), *_references(self.kwargs)]


def connect(
    config: Config,
    operations: dict[str, Any],
    nodes: dict[str, Any],
    places: dict[str, Place],
    place: Place,
) -> tuple[Any, Any]:
    """The input and output tensors of a functional model, after all of its calls are made.

    Args:
        config: of the model, for `input_layers` and `output_layers`.
        operations: the layers by name; a function comes with arguments from its config.
        nodes: the `inbound_nodes` of each layer.
        places: of the layers.
        place: of the model's config.

    Raises:
        FormatError: a call depends on itself, or on a result that does not exist.
        SpecError: a layer does not take its inputs.
    """
    calls = {name: _read_calls(nodes[name], places[name]) for name in operations}
    for name, operation in operations.items():
        if isinstance(operation, InputLayer) == bool(calls[name]):
            needs = "an input is not called" if calls[name] else "the layer is never called"
            raise (places[name] / "inbound_nodes").error(needs)
    for name, index in _order(calls, operations, places):
        call = calls[name][index]
        with locating({name: places[name]}, call.place):
            _make(operations, name, call)

    def tensor(reference: list[Any], at: Place) -> KerasTensor:
        layer, node, position = reference
        # Keras counts a functional model's own definition as its first call, but only here.
        first = 1 if isinstance(operations.get(layer), Functional) else 0
        return _result(operations, Reference(layer, node - first, position), at)

    inputs = _map_histories(tensor, config["input_layers"], place / "input_layers")
    outputs = _map_histories(tensor, config["output_layers"], place / "output_layers")
    _check_inputs(inputs, operations, place)
    return inputs, outputs


def _check_inputs(inputs: Any, operations: dict[str, Any], place: Place) -> None:
    given = [tensor.node.operation.name for tensor in leaves(inputs)]
    for name in given:
        if not isinstance(operations[name], InputLayer):
            raise (place / "input_layers").error(f"'{name}' is not an InputLayer")
    for name, operation in operations.items():
        if isinstance(operation, InputLayer) and name not in given:
            raise (place / "input_layers").error(f"the input '{name}' is missing")
    if len(set(given)) != len(given):
        raise (place / "input_layers").error("an input stands there twice")


def _read_calls(nodes: Any, place: Place) -> list[Call]:
    place = place / "inbound_nodes"
    calls = []
    for index, node in enumerate(require_list(nodes, place)):
        at = place[index]
        require_dict(node, at)
        require_known_keys(node, ("args", "kwargs"), at)
        require_keys(node, ("args", "kwargs"), at)
        args = [
            decode(entry, (at / "args")[i])
            for i, entry in enumerate(require_list(node["args"], at / "args"))
        ]
        given = require_dict(node["kwargs"], at / "kwargs")
        # Keras writes the mask of every model's call; None stands for none.
        kwargs = {
            key: decode(value, at / "kwargs" / key)
            for key, value in given.items()
            if not (key == "mask" and value is None)
        }
        call = Call(args, kwargs, at)
        if not call.references:
            raise at.error("the call takes no tensor")
        calls.append(call)
    return calls


def _order(
    calls: dict[str, list[Call]], operations: dict[str, Any], places: dict[str, Place]
) -> list[tuple[str, int]]:
    """The calls in an order in which each comes after those that it needs."""
    sorter: graphlib.TopologicalSorter[tuple[str, int]] = graphlib.TopologicalSorter()
    for name, own in calls.items():
        for index, call in enumerate(own):
            before = [(name, index - 1)] if index else []
            for reference in call.references:
                _check_reference(reference, calls, operations, call.place)
                if calls[reference.layer]:
                    before.append((reference.layer, reference.node))
            sorter.add((name, index), *before)
    try:
        return list(sorter.static_order())
    except graphlib.CycleError as error:
        names = list(dict.fromkeys(name for name, _ in error.args[1]))
        raise places[names[0]].error(f"the calls of {', '.join(names)} form a cycle") from None


def _check_reference(
    reference: Reference, calls: dict[str, list[Call]], operations: dict[str, Any], place: Place
) -> None:
    if reference.layer not in operations:
        raise place.error(f"there is no layer {shorten(reference.layer)}")
    number = len(calls[reference.layer]) or 1
    if not 0 <= reference.node < number:
        raise place.error(
            f"'{reference.layer}' has {number} calls, and call {reference.node} is used"
        )


def _make(operations: dict[str, Any], name: str, call: Call) -> None:
    def resolve(value: Any) -> Any:
        if isinstance(value, Reference):
            return _result(operations, value, call.place)
        if isinstance(value, list):
            return [resolve(entry) for entry in value]
        if isinstance(value, dict):
            return {key: resolve(entry) for key, entry in value.items()}
        return value

    args, kwargs = resolve(call.args), resolve(call.kwargs)
    operation = operations[name]
    if isinstance(operation, ImageAugmentation) and kwargs.get("training") is True:
        # The default, which Keras writes for every call; in its models it changes nothing.
        del kwargs["training"]
    if not isinstance(operation, tuple):
        operation(*args, **kwargs)
        return
    function, attributes = operation
    if function.function_name == "get_item" and isinstance(args[1], list):
        args[1] = tuple(args[1])
    call_function(function, args, kwargs, attributes)


def _result(operations: dict[str, Any], reference: Reference, place: Place) -> KerasTensor:
    """The tensor that a reference stands for."""
    operation = operations.get(reference.layer)
    if operation is None:
        raise place.error(f"there is no layer {shorten(reference.layer)}")
    nodes = (operation[0] if isinstance(operation, tuple) else operation).nodes
    if not 0 <= reference.node < len(nodes):
        raise place.error(
            f"'{reference.layer}' has {len(nodes)} calls, and call {reference.node} is used"
        )
    results = [leaf for leaf in leaves(nodes[reference.node].outputs) if leaf is not None]
    if not 0 <= reference.tensor < len(results):
        raise place.error(
            f"'{reference.layer}' has {len(results)} results, and result {reference.tensor} is used"
        )
    tensor: KerasTensor = results[reference.tensor]
    _check_shape(tensor, reference, place)
    return tensor


def _check_shape(tensor: KerasTensor, reference: Reference, place: Place) -> None:
    if reference.shape is None:
        return
    fits = len(reference.shape) == len(tensor.shape) and all(
        told is None or size is None or told == size
        for told, size in zip(reference.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise SpecError(
            f"the result has shape {list(tensor.shape)}; the file says {list(reference.shape)}",
            where=f"layer '{reference.layer}'",
        ).located(str(place))


def _references(structure: Any) -> Iterator[Reference]:
    if isinstance(structure, Reference):
        yield structure
    elif isinstance(structure, dict):
        for entry in structure.values():
            yield from _references(entry)
    elif isinstance(structure, list):
        for entry in structure:
            yield from _references(entry)


def _is_history(value: Any) -> bool:
    """Whether it is `[layer, call, result]`."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(type(index) is int for index in value[1:])
    )


def _map_histories(function: Callable[..., Any], value: Any, place: Place) -> Any:
    """The same structure with `function` applied to each `[layer, call, result]`."""
    if _is_history(value):
        return function(value, place)
    if isinstance(value, dict) and value:
        return {k: _map_histories(function, v, place / k) for k, v in value.items()}
    if isinstance(value, list) and value:
        return [_map_histories(function, v, place[i]) for i, v in enumerate(value)]
    raise place.error(f"needs [layer, call, result], got {shorten(value)}")


def decode(value: Any, place: Place) -> Any:
    """An argument of a call: JSON values stand for themselves, marked objects for something."""
    if isinstance(value, list):
        return [decode(entry, place[index]) for index, entry in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: decode(entry, place / key) for key, entry in value.items()}
    require_known_keys(value, ("class_name", "config"), place)
    config = require_dict(value.get("config"), place / "config")
    name = value["class_name"]
    decoder = _DECODERS.get(name) if isinstance(name, str) else None
    if decoder is None:
        raise place.error(f"cannot be an argument: {shorten(name)}")
    make, keys = decoder
    require_known_keys(config, keys, place / "config")
    require_keys(config, keys, place / "config")
    return make(config, place / "config")


def _tensor(config: Config, place: Place) -> Reference:
    history, shape = config["keras_history"], config["shape"]
    if not _is_history(history):
        raise (place / "keras_history").error(
            f"needs [layer, call, result], got {shorten(history)}"
        )
    if shape is None:  # Keras 1 and 2 do not tell
        return Reference(*history)
    sizes = require_list(shape, place / "shape")
    if any(size is not None and type(size) is not int for size in sizes):
        raise (place / "shape").error(f"needs numbers and nulls, got {shorten(shape)}")
    return Reference(history[0], history[1], history[2], tuple(sizes))


def _slice(config: Config, place: Place) -> slice:
    for key, bound in config.items():
        if bound is not None and type(bound) is not int:
            raise (place / key).error(f"needs a number or null, got {shorten(bound)}")
    return slice(config["start"], config["stop"], config["step"])


def _array(config: Config, place: Place) -> np.ndarray[Any, Any]:
    with locating({}, place):
        return np.asarray(config["value"], DType.of(config["dtype"]).numpy)


_DECODERS: dict[str, tuple[Callable[[Config, Place], Any], tuple[str, ...]]] = {
    "__keras_tensor__": (_tensor, ("shape", "dtype", "keras_history")),
    "__numpy__": (_array, ("value", "dtype")),
    "__tensor__": (_array, ("value", "dtype")),
    "__slice__": (_slice, ("start", "stop", "step")),
    "__ellipsis__": (lambda config, place: Ellipsis, ()),
}
