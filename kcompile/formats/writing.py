"""Models to configs, in the form of Keras 3.15's `to_json`."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile import dtype_policies
from kcompile.formats.functions import keras_function, split_arguments
from kcompile.formats.keras2_forms import with_names_of_keras_3
from kcompile.ir.errors import SpecError
from kcompile.layers import LAYERS, JaxLayer, Lambda, Layer
from kcompile.layers.core import InputLayer
from kcompile.models import Functional, Model, Sequential
from kcompile.ops.dispatch import FunctionOperation
from kcompile.ops.node import CallNode
from kcompile.ops.registry import get_registered_name
from kcompile.ops.structure import map_leaves
from kcompile.ops.tensor import KerasTensor, SymbolicTensor
from kcompile.ops.variable import Variable

Config = dict[str, Any]


def model_config(model: Model) -> Config:
    """The config of a model.

    Raises:
        SpecError: a part of it has no form in a file.
    """
    _check_owners(model, {})
    return _model(model)


def _check_owners(model: Model, owners: dict[Layer, Model]) -> None:
    """Check that no layer is in two models: files hold a copy in each, and the tie is lost."""
    for layer in model.layers:
        owner = owners.setdefault(layer, model)
        if owner is not model:
            raise SpecError(
                f"it is in '{owner.name}' and in '{model.name}', which a file cannot hold",
                where=f"layer '{layer.name}'",
                hint="Save the weights, and make the model in code before loading them",
            )
        if isinstance(layer, Model):
            _check_owners(layer, owners)


def _model(model: Model) -> Config:
    if type(model) is Sequential:
        return _envelope("keras", "Sequential", _sequential(model))
    if type(model) is Functional:
        envelope = _envelope("keras.src.models.functional", "Functional", _functional(model))
        return {**envelope, "registered_name": "Functional"}
    if "get_config" in vars(type(model)):
        shape = map_leaves(lambda tensor: list(tensor.shape), model.input_structure)
        return {**_custom(model), "build_config": {"input_shape": shape}}
    raise SpecError(
        f"{type(model).__name__} is defined by its code, which a file cannot hold",
        where=f"model '{model.name}'",
        hint="Give the class get_config; or save the weights, and make the model in code before"
        " loading them",
    )


def _custom(layer: Layer) -> Config:
    """An instance of a class of the user's, which a reader has to know by its name."""
    cls = type(layer)
    envelope = _envelope(None, cls.__name__, layer.get_config())
    return {**envelope, "registered_name": get_registered_name(cls)}


def _envelope(module: str | None, class_name: str, config: Config) -> Config:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


def _sequential(model: Sequential) -> Config:
    layers: list[Layer] = list(model.layers)
    config: Config = {
        "name": model.name,
        "trainable": model.trainable,
        "dtype": dtype_policies.serialize(model.dtype_policy),
    }
    if model.built:
        first = model.inputs[0].node.operation
        layers.insert(0, first)
        config["build_input_shape"] = list(first.batch_shape)
    config["layers"] = [_operation(layer) for layer in layers]
    return config


def _operation(operation: Any) -> Config:
    if isinstance(operation, Model):
        return _model(operation)
    if isinstance(operation, FunctionOperation):
        function = keras_function(operation)
        attributes: Config = dict(function.inert)
        if operation.nodes and function.attributes:
            _, arguments = split_arguments(function, operation.nodes[0])
            attributes |= {key: _plain(value) for key, value in arguments.items()}
        config = {"name": operation.name, **attributes}
        envelope = _envelope(function.module, function.class_name, config)
        return {**envelope, "registered_name": function.class_name}
    return _layer(operation)


_HOLD_FUNCTIONS = (JaxLayer, Lambda)

#: Keras writes the name that a class is exported under; these have another of their own.
_EXPORTED_NAMES = {"GroupedQueryAttention": "GroupQueryAttention"}


def _layer(layer: Layer) -> Config:
    cls = type(layer)
    where = f"layer '{layer.name}'"
    if cls in _HOLD_FUNCTIONS:
        raise SpecError(
            f"{cls.__name__} holds a function of Python, which no file can hold",
            where=where,
            hint="Save the weights, and make the model in code before loading them",
        )
    if LAYERS.get(cls.__name__) is not cls:
        return _custom(layer)
    name, config = with_names_of_keras_3(layer, layer.get_config())
    if name == "Sequential":
        return _envelope("keras", name, config)
    return _envelope("keras.layers", _EXPORTED_NAMES.get(name, name), config)


def _functional(model: Functional) -> Config:
    own = set(model.call_nodes)
    for tensor in model.inputs:
        if not isinstance(tensor.node.operation, InputLayer):
            raise SpecError(
                f"its input '{tensor.name}' is the result of a layer, which a file cannot hold",
                where=f"model '{model.name}'",
                hint="Make the model on an Input",
            )

    def index_of(node: CallNode) -> int:
        """The number of earlier calls of the same layer in this model."""
        if isinstance(node.operation, InputLayer):
            return 0
        return sum(1 for n in node.operation.nodes[: node.index] if n in own)

    def argument(leaf: Any) -> Any:
        if not isinstance(leaf, KerasTensor):
            return _plain(leaf)
        history = [leaf.node.operation.name, index_of(leaf.node), leaf.index]
        config = {"shape": list(leaf.shape), "dtype": leaf.dtype, "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}

    def call(node: CallNode) -> Config:
        args, kwargs = node.args, node.kwargs
        if isinstance(node.operation, FunctionOperation):
            (args, kwargs), _ = split_arguments(keras_function(node.operation), node)
        return {"args": _mapped(argument, args), "kwargs": _mapped(argument, kwargs)}

    def result(tensor: KerasTensor) -> list[Any]:
        operation = tensor.node.operation
        # Keras counts a functional model's own definition as its first call, but only here.
        first = 1 if isinstance(operation, Functional) else 0
        return [operation.name, index_of(tensor.node) + first, tensor.index]

    layers = []
    for operation in model.operations:
        calls = [call(node) for node in operation.nodes if node in own]
        layers.append({**_operation(operation), "name": operation.name, "inbound_nodes": calls})
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": map_leaves(result, model.input_structure),
        "output_layers": map_leaves(result, model.output_structure),
    }


def _mapped(function: Any, structure: Any) -> Any:
    if isinstance(structure, (list, tuple)):
        return [_mapped(function, entry) for entry in structure]
    if isinstance(structure, dict):
        return {key: _mapped(function, entry) for key, entry in structure.items()}
    return function(structure)


def _plain(value: Any) -> Any:
    """An argument of a call as JSON.

    Raises:
        SpecError: it has no such form.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(value, slice):
        bounds = {"start": value.start, "stop": value.stop, "step": value.step}
        return {"class_name": "__slice__", "config": _mapped(_plain, bounds)}
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__array__") and not isinstance(value, (SymbolicTensor, Variable)):
        array = np.asarray(value)
        config = {"value": array.tolist(), "dtype": array.dtype.name}
        return {"class_name": "__numpy__", "config": config}
    raise SpecError(f"a file cannot hold {value!r} as an argument of a call")
