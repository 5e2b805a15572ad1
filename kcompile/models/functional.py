"""Functional models: graphs of layer calls between tensors."""

from __future__ import annotations

from typing import Any

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import TensorType
from kcompile.layers.base import Layer
from kcompile.layers.core import InputLayer
from kcompile.models.model import Model
from kcompile.ops.node import CallNode
from kcompile.ops.structure import leaves, map_leaves, pack_like
from kcompile.ops.tensor import KerasTensor
from kcompile.ops.trace import Mode, Trace, require_trace, unused_name


class Functional(Model):
    """The model that computes `outputs` from `inputs`.

    Args:
        inputs: tensors made by `Input`: one, or a list, tuple or dict of them.
        outputs: tensors computed from them, likewise.
        name: the model's name.
        trainable: whether its weights are trained.

    Raises:
        SpecError: an output does not depend on the inputs alone, or two layers share a name.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self._example = inputs
        self._output_example = outputs
        self._inputs = self._tensors(inputs, "inputs")
        self._outputs = self._tensors(outputs, "outputs")
        self.call_nodes, self.operations = _sort_calls(self._inputs, self._outputs, self.name)
        self._check_names()
        self.built = True
        self.autocast = False
        if not trainable:
            self.trainable = False

    def _tensors(self, structure: Any, what: str) -> list[KerasTensor]:
        tensors = list(leaves(structure))
        for tensor in tensors:
            if not isinstance(tensor, KerasTensor):
                raise SpecError(
                    f"{what} must be tensors made by Input and layers, got {tensor!r}",
                    where=f"model '{self.name}'",
                )
        if not tensors:
            raise SpecError(f"there are no {what}", where=f"model '{self.name}'")
        return tensors

    def _check_names(self) -> None:
        names: set[str] = set()
        for operation in self.operations:
            if operation.name in names:
                raise SpecError(
                    f"two layers are named '{operation.name}'",
                    where=f"model '{self.name}'",
                    hint="Layer names must be unique in a model",
                )
            names.add(operation.name)

    @property
    def inputs(self) -> list[KerasTensor]:
        return self._inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        return self._outputs

    @property
    def input(self) -> Any:
        return self._example

    @property
    def output(self) -> Any:
        return self._output_example

    @property
    def output_structure(self) -> Any:
        return self._output_example

    @property
    def input_names(self) -> list[str]:
        return [tensor.node.operation.name for tensor in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """The name of each output: its key in a dict of outputs, otherwise its layer's name."""
        if isinstance(self._output_example, dict):
            return sorted(self._output_example)
        names: list[str] = []
        for tensor in self._outputs:
            names.append(unused_name(tensor.node.operation.name, set(names)))
        return names

    @property
    def input_shape(self) -> Any:
        return map_leaves(lambda tensor: tensor.shape, self.input_structure)

    @property
    def output_shape(self) -> Any:
        return map_leaves(lambda tensor: tensor.shape, self._output_example)

    @property
    def layers(self) -> list[Layer]:
        return [operation for operation in self.operations if isinstance(operation, Layer)]

    @property
    def _sublayers(self) -> list[Layer]:
        return self.layers

    def input_types(self) -> list[tuple[str, TensorType]]:
        return [
            (name, tensor.type) for name, tensor in zip(self.input_names, self._inputs, strict=True)
        ]

    def output_types(self) -> list[tuple[str, TensorType]]:
        types = [tensor.type for tensor in self._outputs]
        return list(zip(self.output_names, types, strict=True))

    def call(self, inputs: Any, training: bool = False) -> Any:
        flat = self._flatten_inputs(inputs)
        return pack_like(self._output_example, self._replay(flat))

    def call_structure(self, inputs: list[Any], trace: Trace) -> Any:
        return pack_like(self._output_example, self._replay(inputs))

    def call_flat(self, inputs: list[Any], trace: Trace) -> list[tuple[str, Any]]:
        return list(zip(self.output_names, self._replay(inputs), strict=True))

    def _flatten_inputs(self, inputs: Any) -> list[Any]:
        """The inputs in the model's order; a dict may go by input names."""
        if isinstance(inputs, dict) and not isinstance(self.input_structure, dict):
            if set(inputs) != set(self.input_names):
                raise SpecError(
                    f"takes the inputs {sorted(self.input_names)}, got {sorted(inputs)}",
                    where=f"model '{self.name}'",
                )
            return [inputs[name] for name in self.input_names]
        flat = list(leaves(inputs))
        if len(flat) != len(self._inputs):
            raise SpecError(
                f"takes {len(self._inputs)} inputs ({', '.join(self.input_names)}),"
                f" got {len(flat)}",
                where=f"model '{self.name}'",
            )
        return flat

    def _replay(self, inputs: list[Any]) -> list[Any]:
        """The calls again, on other tensors."""
        trace = require_trace()
        known: dict[KerasTensor, Any] = {}
        for tensor, name, value in zip(self._inputs, self.input_names, inputs, strict=True):
            value = trace.convert(value)
            _check_input(value.type, tensor.type, f"model '{self.name}': input '{name}'")
            known[tensor] = trace.convert(value, tensor.type.dtype)

        def value_of(leaf: Any) -> Any:
            return known[leaf] if isinstance(leaf, KerasTensor) else leaf

        for node in self.call_nodes:
            args, kwargs = map_leaves(value_of, node.args), map_leaves(value_of, node.kwargs)
            mode = trace.mode
            if node.kwargs.get("training") is True:
                mode = Mode(True, forced=True)
            with trace.in_mode(mode):
                results = node.operation(*args, **kwargs)
            for tensor, value in zip(leaves(node.outputs), leaves(results), strict=True):
                if tensor is not None:
                    known[tensor] = value
        return [known[tensor] for tensor in self._outputs]


def _check_input(given: TensorType, declared: TensorType, where: str) -> None:
    """Check that a tensor is what the model was defined for.

    Raises:
        ShapeError: rank or a size differs, or it has floats where the model takes integers.
    """
    pairs = zip(given.shape, declared.shape, strict=False)
    if given.rank != declared.rank or any(
        isinstance(wanted, int) and size != wanted for size, wanted in pairs
    ):
        raise ShapeError(f"needs {declared}, got {given}", where=where)
    if given.dtype.is_floating and not declared.dtype.is_floating:
        raise ShapeError(
            f"needs {declared}, got {given}", where=where, hint="Cast it, if that is what you mean"
        )


def _sort_calls(
    inputs: list[KerasTensor], outputs: list[KerasTensor], model_name: str
) -> tuple[list[CallNode], list[Any]]:
    """The calls between inputs and outputs in an order to make them, and the layers in Keras's.

    Keras orders layers by their greatest distance from an output, farthest first, and those of one
    distance as they are met when going back from the outputs. Weight files go by that order.
    """
    given = set(inputs)
    input_nodes = {tensor.node for tensor in inputs}
    order, met = _walk_back(input_nodes, given, outputs, model_name)
    node_depth: dict[CallNode, int] = {}
    depth_of: dict[Any, int] = {}
    for node in reversed(order):
        depth = max(node_depth.get(node, 0), depth_of.get(node.operation, 0))
        depth_of[node.operation] = node_depth[node] = depth
        for parent in () if node in input_nodes else node.parents:
            node_depth[parent] = max(depth + 1, node_depth.get(parent, 0))
    for node in input_nodes:
        if isinstance(node.operation, InputLayer):
            depth_of.setdefault(node.operation, 0)
            met.setdefault(node.operation, len(met))
        else:  # an inner tensor as input: the layer before it is no part of the model
            depth_of.pop(node.operation, None)
    operations = sorted(depth_of, key=lambda operation: (-depth_of[operation], met[operation]))
    return [node for node in order if node not in input_nodes], operations


def _walk_back(
    input_nodes: set[CallNode], given: set[KerasTensor], outputs: list[KerasTensor], where: str
) -> tuple[list[CallNode], dict[Any, int]]:
    """The calls that the outputs need, parents first, and the layers as they are met."""
    seen: set[CallNode] = set()
    order: list[CallNode] = []
    met: dict[Any, int] = {}
    for output in outputs:
        stack = [(output.node, False)]
        while stack:
            node, parents_done = stack.pop()
            if parents_done:
                order.append(node)
                continue
            if node in seen:
                continue
            seen.add(node)
            met.setdefault(node.operation, len(met))
            stack.append((node, True))
            if node in input_nodes and set(leaves(node.outputs)) <= given:
                continue
            if not node.inputs:
                raise SpecError(
                    f"output '{output.name}' depends on '{node.operation.name}', which is not"
                    " among the model's inputs",
                    where=f"model '{where}'",
                    hint="Add it to inputs",
                )
            stack += [(parent, False) for parent in reversed(node.parents)]
    return order, met
