"""Sequential models: layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import TensorType
from kcompile.layers.base import Layer
from kcompile.layers.core import Input, InputLayer
from kcompile.models.functional import Functional
from kcompile.models.model import Model
from kcompile.ops.tensor import KerasTensor
from kcompile.ops.trace import Trace


class Sequential(Model):
    """Layers one after the other.

    The input's shape comes from an `Input` in front, from the first layer's `input_shape` or
    `input_dim`, or from the first data that the model sees.

    Args:
        layers: the layers, if not added later.
        trainable: whether their weights are trained.
        name: the model's name.
    """

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.autocast = False
        known: list[Layer] = []
        for layer in layers or ():
            known = self._with(known, layer)
        self._set_layers(known)

    def add(self, layer: Any) -> None:
        """Put a layer, or an Input, at the end; the model stays as it was if it does not fit."""
        self._set_layers(self._with(self._layers, layer))

    def pop(self) -> Layer:
        """Take the last layer off.

        Raises:
            SpecError: there is none.
        """
        if not self._layers:
            raise SpecError("there is no layer to take off", where=f"model '{self.name}'")
        *rest, last = self._layers
        self._set_layers(rest)
        return last

    def _with(self, layers: list[Layer], layer: Any) -> list[Layer]:
        """The layers and one more; before the first one, the input that it describes."""
        where = f"model '{self.name}'"
        if isinstance(layer, KerasTensor):
            layer = layer.node.operation
        if not isinstance(layer, Layer):
            raise SpecError(f"takes layers, got {layer!r}", where=where)
        if isinstance(layer, InputLayer):
            if layers:
                raise SpecError("an Input can only come first", where=where)
            return [layer]
        if any(layer.name == known.name for known in layers):
            raise SpecError(
                f"two layers are named '{layer.name}'",
                where=where,
                hint="Layer names must be unique in a model",
            )
        first = None if layers else first_input(layer)
        return [*layers, layer] if first is None else [first, layer]

    def _set_layers(self, layers: list[Layer]) -> None:
        """Make these the model's layers, if they fit one another."""
        if not self.trainable:
            for layer in layers:
                layer.trainable = False
        self._functional = self._functional_of(layers)
        self._layers = layers
        self.built = self._functional is not None

    def _functional_of(self, layers: list[Layer]) -> Functional | None:
        """The functional model of layers with an input in front; None without."""
        if len(layers) < 2 or not isinstance(layers[0], InputLayer):
            return None
        tensor = first = layers[0].output
        for layer in layers[1:]:
            try:
                tensor = layer(tensor)
            except ShapeError as error:
                raise error.located(f"model '{self.name}'") from None
        return Functional(first, tensor, name=self.name)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of that shape, batch included."""
        if self._functional is not None or input_shape is None:
            return
        if not self.layers:
            raise SpecError("has no layers", where=f"model '{self.name}'")
        name, dtype = f"{self._layers[0].name}_input", self._layers[0]._first_dtype
        first = Input(batch_shape=tuple(input_shape), dtype=dtype, name=name).node.operation
        self._set_layers([first, *self._layers])

    def _ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._functional is None:
            # Only the batch is open: data say nothing of other sizes being variable.
            self.build((None, *args[0].shape[1:]))

    @property
    def layers(self) -> list[Layer]:
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    @property
    def _sublayers(self) -> list[Layer]:
        return self.layers

    @property
    def functional(self) -> Functional:
        """The same model with its inputs known.

        Raises:
            SpecError: the model does not know its inputs yet.
        """
        if self._functional is None:
            raise SpecError(
                "it does not know its inputs yet",
                where=f"model '{self.name}'",
                hint="Put an Input in front, call it on data, or call build(input_shape)",
            )
        assert self._functional is not None
        return self._functional

    @property
    def inputs(self) -> list[KerasTensor]:
        return self.functional.inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        return self.functional.outputs

    @property
    def input(self) -> KerasTensor:
        return self.functional.inputs[0]

    @property
    def output(self) -> KerasTensor:
        return self.functional.outputs[0]

    @property
    def input_shape(self) -> Any:
        return self.functional.input_shape

    @property
    def output_shape(self) -> Any:
        return self.functional.output_shape

    @property
    def input_names(self) -> list[str]:
        return self.functional.input_names

    @property
    def output_names(self) -> list[str]:
        return self.functional.output_names

    def input_types(self) -> list[tuple[str, TensorType]]:
        return self.functional.input_types()

    def output_types(self) -> list[tuple[str, TensorType]]:
        return self.functional.output_types()

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.functional.call(inputs, training)

    @property
    def input_structure(self) -> Any:
        return self.functional.input_structure

    @property
    def output_structure(self) -> Any:
        return self.functional.output_structure

    def call_structure(self, inputs: list[Any], trace: Trace) -> Any:
        return self.functional.call_structure(inputs, trace)

    def call_flat(self, inputs: list[Any], trace: Trace) -> list[tuple[str, Any]]:
        return self.functional.call_flat(inputs, trace)


def first_input(layer: Layer) -> InputLayer | None:
    """The input that a first layer's own arguments, or a first model's inputs, describe."""
    if isinstance(layer, (Functional, Sequential)) and layer.built:
        (name, type), *others = layer.input_types()
        if others:
            raise SpecError(
                "a model in a Sequential takes one input", where=f"layer '{layer.name}'"
            )
        shape = layer.inputs[0].shape
        return Input(
            batch_shape=shape, dtype=type.dtype.keras_name, name=f"{layer.name}_{name}"
        ).node.operation
    if layer._first_batch_shape is None:
        return None
    made = Input(
        batch_shape=layer._first_batch_shape,
        dtype=layer._first_dtype or layer.dtype,
        name=f"{layer.name}_input",
    )
    return made.node.operation
