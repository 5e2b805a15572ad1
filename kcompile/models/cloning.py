"""Copies of models: the same layers, with weights of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer
from kcompile.layers.core import Input, InputLayer
from kcompile.models.functional import Functional
from kcompile.models.model import Model
from kcompile.models.sequential import Sequential
from kcompile.ops.dispatch import FunctionOperation
from kcompile.ops.structure import leaves, map_leaves, pack_like
from kcompile.ops.tensor import KerasTensor


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Model:
    """The same model with new weights; it is not compiled.

    Args:
        input_tensors: in place of new inputs.
        clone_function: gives the new layer for each layer; by default one of the same config.
        call_function: calls a new layer: `call_function(layer, *args, **kwargs)`. Functional models
            only.
        recursive: whether `clone_function` sees the layers of models inside, too.

    Raises:
        SpecError: the model is neither sequential nor functional, or an argument does not fit.
    """
    if kwargs:
        raise SpecError(f"clone_model has no argument {sorted(kwargs)[0]!r}")

    def clone(layer: Layer) -> Any:
        if isinstance(layer, Model) and (clone_function is None or recursive):
            calls = call_function if recursive and isinstance(layer, Functional) else None
            return clone_model(layer, None, clone_function, calls, recursive)
        if clone_function is not None and not isinstance(layer, InputLayer):
            return clone_function(layer)
        return type(layer).from_config(layer.get_config())

    if isinstance(model, Sequential):
        if call_function is not None:
            raise SpecError("call_function is for functional models", where=f"model '{model.name}'")
        return _clone_sequential(model, input_tensors, clone)
    if isinstance(model, Functional):
        return _clone_functional(model, input_tensors, clone, call_function)
    raise SpecError(
        f"{type(model).__name__} is neither sequential nor functional",
        where=f"model '{model.name}'",
        hint="Make another instance of it",
    )


def _clone_sequential(model: Sequential, inputs: Any, clone: Callable[[Layer], Any]) -> Model:
    layers = [clone(layer) for layer in model.layers]
    if inputs is not None:
        (tensor,) = leaves(inputs)
        shape, dtype = tensor.shape, tensor.dtype
    elif model.built:
        shape, dtype = model.inputs[0].shape, model.inputs[0].dtype
    else:
        return Sequential(layers, name=model.name, trainable=model.trainable)
    first = Input(
        batch_shape=shape, dtype=dtype, name=model.input_names[0] if model.built else None
    )
    return Sequential([first, *layers], name=model.name, trainable=model.trainable)


def _clone_functional(
    model: Functional,
    inputs: Any,
    clone: Callable[[Layer], Any],
    call_function: Callable[..., Any] | None,
) -> Model:
    new: dict[Any, Any] = {}
    known: dict[KerasTensor, Any] = dict(zip(model.inputs, _new_inputs(model, inputs), strict=True))
    for node in model.call_nodes:
        operation = node.operation
        if operation not in new:
            new[operation] = (
                clone(operation)
                if isinstance(operation, Layer)
                else FunctionOperation(operation.function_name, operation.name)
            )

        def value_of(leaf: Any) -> Any:
            return known[leaf] if isinstance(leaf, KerasTensor) else leaf

        args, kwargs = map_leaves(value_of, node.args), map_leaves(value_of, node.kwargs)
        if call_function is None:
            results = new[operation](*args, **kwargs)
        else:
            results = call_function(new[operation], *args, **kwargs)
        for tensor, value in zip(leaves(node.outputs), leaves(results), strict=True):
            if tensor is not None:
                known[tensor] = value
    start = pack_like(model.input, [known[tensor] for tensor in model.inputs])
    end = map_leaves(lambda tensor: known[tensor], model.output)
    return Functional(start, end, name=model.name, trainable=model.trainable)


def _new_inputs(model: Functional, given: Any) -> list[Any]:
    if given is None:
        return [
            Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
            for tensor, name in zip(model.inputs, model.input_names, strict=True)
        ]
    tensors = list(leaves(given))
    if len(tensors) != len(model.inputs) or not all(isinstance(t, KerasTensor) for t in tensors):
        raise SpecError(
            f"needs {len(model.inputs)} input tensors made by Input, got {given!r}",
            where=f"model '{model.name}'",
        )
    return tensors
