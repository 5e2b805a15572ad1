"""Weights, and the layers inside of a layer: found wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kcompile import constraints, initializers, regularizers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.layers.dtypes import PolicyDTypes
from kcompile.ops import seeds
from kcompile.ops.structure import leaves
from kcompile.ops.trace import current_trace, unused_name
from kcompile.ops.variable import Variable

#: Attributes that hold no weights or layers of their own.
_NOT_WALKED = (
    "nodes",
    "_example",
    "_output_example",
    "_trainer",
    "_carried_states",
    "_call_losses",
    "_host_stage",
)


class WeightTree(PolicyDTypes):
    """What a layer knows of its weights; they and inner layers are kept in attributes.

    Attributes:
        name: of the layer.
    """

    name: str
    _trainable: bool

    @property
    def _own_variables(self) -> list[Variable]:
        return [leaf for leaf in self._attributes() if isinstance(leaf, Variable)]

    @property
    def _sublayers(self) -> list[Any]:
        """Layers kept in attributes, each once, in the order in which they were set."""
        found = [leaf for leaf in self._attributes() if isinstance(leaf, WeightTree)]
        return list(dict.fromkeys(found))

    def _attributes(self) -> Iterator[Any]:
        for key, value in vars(self).items():
            if key not in _NOT_WALKED:
                yield from leaves(value)

    @property
    def carried_variables(self) -> list[Variable]:
        """What the layer itself keeps from call to call that is no weight: files do not hold it."""
        return []

    def all_carried_variables(self) -> Iterator[Variable]:
        """Those of this layer, and of the layers inside."""
        yield from self.carried_variables
        for layer in self._sublayers:
            yield from layer.all_carried_variables()

    def named_variables(self, prefix: str = "") -> Iterator[tuple[str, Variable]]:
        """Own weights, then those of the layers inside, each by its path: `block/dense/kernel`."""
        own = self._own_variables
        for variable in [v for v in own if v.trainable] + [v for v in own if not v.trainable]:
            yield f"{prefix}{self.name}/{variable.name}", variable
        for layer in self._sublayers:
            yield from layer.named_variables(f"{prefix}{self.name}/")

    @property
    def weights(self) -> list[Variable]:
        """Every weight once: for each layer the trainable ones first."""
        return list(dict.fromkeys(variable for _, variable in self.named_variables()))

    @property
    def variables(self) -> list[Variable]:
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if variable.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if not variable.trainable]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._own_variables:
            variable.trainable = bool(value) and variable.is_trainable_when_unfrozen
        for layer in self._sublayers:
            layer.trainable = value

    def count_params(self) -> int:
        """The number of elements in all weights."""
        return sum(int(np.prod(variable.shape)) for variable in self.weights)

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The weights as arrays, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights, in the order of `weights`; nothing changes if one does not fit.

        Raises:
            SpecError: their number, or a shape, is not the layer's.
        """
        variables = self.weights
        where = f"layer '{self.name}'"
        if len(weights) != len(variables):
            raise SpecError(
                f"has {len(variables)} weights, got {len(weights)}",
                where=where,
                hint="Build the layer first if it has none yet" if not variables else None,
            )
        for variable, value in zip(variables, weights, strict=True):
            if np.shape(value) != variable.shape:
                raise SpecError(
                    f"weight '{variable.path}' is {variable.type}, got shape {np.shape(value)}",
                    where=where,
                )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new weight; keep it in an attribute.

        Args:
            shape: sizes, all numbers.
            initializer: name, config or instance; `glorot_uniform` for floats, `zeros` otherwise.
            dtype: element type; the layer's by default.
            trainable: whether it is trained.
            autocast: whether layers read it in the type that they compute in.
            regularizer: adds to the loss.
            constraint: gives the value after each update in training.
            name: last part of its path.

        Raises:
            ShapeError: a size is not a number.
        """
        where = f"layer '{self.name}'"
        name = name or unused_name("variable", {v.name for v in self._own_variables})
        if any(not isinstance(size, (int, np.integer)) or size < 0 for size in shape):
            raise ShapeError(
                f"the weight '{name}' needs sizes that are numbers, got {tuple(shape)}",
                where=where,
                hint="Give the input a fixed size on the axes that weights depend on",
            )
        sizes = tuple(int(size) for size in shape)
        element = DType.of(dtype) if dtype is not None else self.dtype_policy.storage
        default = "glorot_uniform" if element.is_floating else "zeros"
        initial = initializers.get(default if initializer is None else initializer)
        assert initial is not None  # None is only what None gives
        seed = seeds.next_seed()

        def make(stream: np.random.Generator | None = None) -> Any:
            source = stream or seeds.stream(seed)
            return initializers.initial_value(initial, sizes, element.keras_name, rng=source)

        variable = Variable(make, sizes, element, name, trainable and self._trainable, make)
        variable.is_trainable_when_unfrozen = trainable
        variable.autocast = autocast
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        trace = current_trace()
        scope = trace.builder.source if trace is not None else ""
        path = scope if scope.split("/")[-1] == self.name else self.name
        variable.path = f"{path}/{name}"
        return variable
