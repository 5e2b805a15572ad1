"""Layers: what a model is defined with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np

import kcompile.ops as ops
from kcompile import constraints, dtype_policies, initializers, regularizers
from kcompile.ir.errors import KCompileError, ShapeError, SpecError
from kcompile.ir.ops import DimSize
from kcompile.ir.types import DType
from kcompile.layers import config as configs
from kcompile.layers import masks
from kcompile.ops import scopes, seeds
from kcompile.ops.configs import argument_names
from kcompile.ops.dispatch import has_keras_tensor, record_call
from kcompile.ops.naming import automatic_name
from kcompile.ops.node import CallNode
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import SymbolicTensor, TracedTensor
from kcompile.ops.trace import (
    Mode,
    Trace,
    current_trace,
    emit,
    infer_outputs,
    require_trace,
    run_eagerly,
    unused_name,
)
from kcompile.ops.variable import Variable

#: Arguments that give the shape of the first layer's input, here or under Keras 1 and 2.
_INPUT_ARGUMENTS = ("input_shape", "input_dim", "batch_input_shape", "batch_size", "input_dtype")

#: Attributes that hold no weights or layers of their own.
_NOT_WALKED = (
    "nodes",
    "_example",
    "_output_example",
    "_trainer",
    "_carried_states",
    "_call_losses",
)


class Layer:
    """A function of tensors, with weights.

    A subclass says what it computes in `call`, with `kcompile.ops`; what it needs beforehand it
    makes in `build`, with `add_weight`. Shapes, gradients and exports follow from tracing `call`.

    Args:
        activity_regularizer: of each output, divided by the batch size, adds to the loss.
        trainable: whether the layer's weights are trained.
        dtype: dtype policy, or its name: what the layer computes in and keeps weights in.
        autocast: whether floating-point inputs are cast to the type that the layer computes in.
        name: unique in a model; made from the class's name by default.
        input_shape, input_dim, batch_input_shape, batch_size, input_dtype: of a Sequential's
            first layer, in place of an Input.
    """

    #: Names of config keys that say nothing here, with the values that they may have.
    inert_config: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    #: Whether outputs have masks where inputs have them: those that `compute_mask` gives.
    supports_masking: bool = False

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        name = automatic_name(type(self).__name__) if name is None else str(name)
        where = f"layer '{name}'"
        if not name or "/" in name:
            raise SpecError(f"{name!r} is not a name for a layer", where=type(self).__name__)
        first = {key: kwargs.pop(key) for key in _INPUT_ARGUMENTS if key in kwargs}
        if kwargs:
            known = ", ".join(sorted(argument_names(type(self))))
            raise SpecError(
                f"{type(self).__name__} has no argument {sorted(kwargs)[0]!r}",
                where=where,
                hint=f"Its arguments are {known}",
            )
        self.name = name
        self.built = False
        self.nodes: list[CallNode] = []
        self._call_losses: list[Any] = []
        self.build_shape: Any = None
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._trainable = bool(trainable)
        self.dtype_policy = configs.dtype_policy_of(dtype, where)
        self.autocast = autocast
        self._first_batch_shape = _first_batch_shape(first)
        self._first_dtype = first.get("input_dtype")

    # Attributes: weights and layers are found wherever they are kept

    @property
    def _own_variables(self) -> list[Variable]:
        return [leaf for leaf in self._attributes() if isinstance(leaf, Variable)]

    @property
    def _sublayers(self) -> list[Layer]:
        """Layers kept in attributes, each once, in the order in which they were set."""
        found = [leaf for leaf in self._attributes() if isinstance(leaf, Layer)]
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

    @property
    def dtype(self) -> str:
        return self.dtype_policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        return self.dtype_policy.compute_dtype

    @property
    def dtype_policy(self) -> dtype_policies.DTypePolicy:
        """What the layer computes in and keeps weights in; weights there are keep their type."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._dtype_policy = dtype_policies.get(value)

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

    # Calling

    def build(self, input_shape: Any) -> None:
        """Make the weights. Shapes are as in Keras, None for a size that is not a number yet."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        raise NotImplementedError(f"{type(self).__name__} has no call")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self._name_training(args, kwargs)
        if has_keras_tensor(args, kwargs):
            types = infer_outputs(self._call_traced, args, kwargs)
            return record_call(self, args, kwargs, types)
        if current_trace() is not None:
            return self._call_traced(*args, **kwargs)
        training = bool(kwargs.get("training") or False)
        args = tuple(_numbers_as_array(argument) for argument in args)
        with scopes.gathered_losses() as losses:
            result = run_eagerly(self.name, self._call_traced, args, kwargs, training=training)
        self._call_losses = losses
        return result

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The call as a pure function of arrays, which JAX may trace.

        Args:
            trainable_variables, non_trainable_variables: values in the order of the properties of
                these names.
            return_losses: whether to return what `add_loss` added and regularizers as well.

        Returns:
            The outputs and the new values of `non_trainable_variables`; then the losses.

        Raises:
            SpecError: there are more or fewer values than variables.
        """
        where = f"layer '{self.name}': stateless_call"
        values = {
            **stateless_values(self.trainable_variables, trainable_variables, where),
            **stateless_values(self.non_trainable_variables, non_trainable_variables, where),
        }
        before = self._call_losses
        try:
            with scopes.stateless(values) as after:
                outputs = self(*args, **kwargs)
                losses = self.losses if return_losses else []
        finally:
            self._call_losses = before
        states = [after[variable] for variable in self.non_trainable_variables]
        return (outputs, states, losses) if return_losses else (outputs, states)

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` added in this trace or the last call on arrays, and regularizers."""
        trace = current_trace()
        added = self._call_losses if trace is None else trace.losses
        weights = [v for v in self.trainable_variables if v.regularizer is not None]
        return [*added, *(variable.regularizer(variable.value) for variable in weights)]

    def _name_training(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with `training` by name, where it is given by position."""
        if self._takes_training:
            position = self._call_names.index("training")
            if len(args) == position + 1:
                return args[:position], {**kwargs, "training": args[position]}
        return args, kwargs

    def _call_traced(self, *args: Any, **kwargs: Any) -> Any:
        trace = current_trace()
        assert trace is not None
        args = tuple(map_leaves(_as_tensor, argument) for argument in args)
        with trace.builder.scope(self.name):
            try:
                return self._call_in_scope(trace, args, kwargs)
            except KCompileError as error:
                if error.where is None:  # the innermost layer is the place
                    error.where = f"layer '{trace.builder.source}'"
                raise

    def _call_in_scope(self, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._ensure_built(args, kwargs)
        if self.autocast:
            args, kwargs = map_leaves(self._autocast, args), map_leaves(self._autocast, kwargs)
        mode = _mode(trace, kwargs.get("training"))
        if "training" in kwargs or self._takes_training:
            kwargs = {**kwargs, "training": mode.training}
        if not self._takes_training:
            kwargs.pop("training", None)
        kwargs = masks.fill_mask_arguments(self._call_names, args, kwargs)
        first = args[0] if args else next(iter(kwargs.values()), None)
        given = kwargs.get("mask")
        previous = masks.mask_of(first) if given is None else given
        with trace.in_mode(mode), self.computing(trace):
            outputs = self.call(*args, **kwargs)
            self.regularize_activity(outputs)
            return masks.carry_masks(self, first, previous, outputs)

    def add_loss(self, loss: Any) -> None:
        """Add to the loss of training and evaluation; inside `call`.

        Args:
            loss: a tensor, whose elements are summed, or a structure of them.
        """
        trace = require_trace()
        trace.losses += [ops.sum(trace.convert(leaf)) for leaf in leaves(loss)]

    def regularize_activity(self, outputs: Any) -> None:
        """Add the penalty of each output; for who calls `call` in this layer's place."""
        if self.activity_regularizer is None:
            return
        for output in leaves(outputs):
            if isinstance(output, TracedTensor):
                penalty = self.activity_regularizer(output)
                if output.type.rank:
                    penalty = penalty / emit(DimSize(output.type.shape[0], penalty.type.dtype))
                self.add_loss(penalty)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The masks of the outputs, for inputs with the masks `previous_mask`."""
        return previous_mask

    @functools.cached_property
    def _call_parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.call).parameters

    @functools.cached_property
    def _call_names(self) -> tuple[str, ...]:
        return tuple(self._call_parameters)

    @property
    def _takes_training(self) -> bool:
        return "training" in self._call_parameters

    def _autocast(self, leaf: Any) -> Any:
        if isinstance(leaf, TracedTensor) and leaf.type.dtype.is_floating:
            kept = leaf.trace.convert(leaf, self.dtype_policy.computation)
            return masks.with_mask(kept, leaf.mask)
        return leaf

    def computing(self, trace: Trace) -> AbstractContextManager[None]:
        """Inside, floating-point weights are read in the type that the layer computes in.

        A layer that casts no inputs leaves that to its inner layers.
        """
        policy = self.dtype_policy
        mixed = policy.computation is not policy.storage
        casts = self.autocast and policy.computation.is_floating
        nested = trace.autocast is not None
        return trace.autocasting(policy.computation if casts and (nested or mixed) else None)

    def _ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.built:
            return
        shapes = [map_leaves(_shape_of, argument) for argument in args]
        wanted = [
            name for name in inspect.signature(self.build).parameters if name.endswith("_shape")
        ]
        if len(wanted) > 1:
            bound = inspect.signature(self.call).bind(*args, **kwargs).arguments
            named = {f"{key}_shape": map_leaves(_shape_of, value) for key, value in bound.items()}
            self.build(**{name: named[name] for name in wanted if name in named})
        else:
            self.build(shapes[0] if shapes else None)
        self.build_shape = shapes[0] if shapes else None
        self.built = True
        if not self._trainable:
            self.trainable = False  # of layers made in build, too

    # Functional use

    @property
    def input(self) -> Any:
        """What the layer was first called on, in a functional model."""
        args = self._first_call().args
        return args[0] if len(args) == 1 else args

    @property
    def output(self) -> Any:
        """What the first call gave, in a functional model."""
        return self._first_call().outputs

    def _first_call(self) -> CallNode:
        if not self.nodes:
            raise SpecError("was not called on a KerasTensor yet", where=f"layer '{self.name}'")
        return self.nodes[0]

    # Configs

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer, as JSON values."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
        }
        if self.activity_regularizer is not None:
            key = "activity_regularizer"
            config[key] = configs.config_value(getattr(self, key), f"layer '{self.name}': {key}")
        common = {*argument_names(Layer), *configs.COMMON}
        for key in argument_names(type(self)):
            if key in common:
                continue
            if not hasattr(self, key):
                raise SpecError(
                    f"{type(self).__name__} keeps no attribute '{key}' for its argument",
                    where=f"layer '{self.name}'",
                    hint="Keep it, or write get_config",
                )
            config[key] = configs.config_value(getattr(self, key), f"layer '{self.name}': {key}")
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The layer that `get_config` describes.

        Raises:
            SpecError: a key is not an argument of the layer.
        """
        arguments = dict(config)
        for key, allowed in cls.inert_config.items():
            value = arguments.pop(key, allowed[0])
            if value not in allowed:
                raise NotImplementedError(f"{cls.__name__}: {key}={value!r} is not there yet")
        return cls(**arguments)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def stateless_values(
    variables: Sequence[Variable], values: Sequence[Any], where: str
) -> dict[Any, Any]:
    """The values by variable.

    Raises:
        SpecError: there are more or fewer values than variables.
    """
    if len(values) != len(variables):
        raise SpecError(
            f"needs {len(variables)} values, got {len(values)}",
            where=where,
            hint="Build the layer first" if not variables else None,
        )
    return dict(zip(variables, values, strict=True))


def _first_batch_shape(arguments: dict[str, Any]) -> tuple[int | None, ...] | None:
    """The batch shape that the old arguments of a first layer give."""
    if "batch_input_shape" in arguments:
        return tuple(arguments["batch_input_shape"])
    batch = arguments.get("batch_size")
    if "input_shape" in arguments:
        return (batch, *arguments["input_shape"])
    if "input_dim" in arguments:
        return (batch, arguments["input_dim"])
    return None


def _mode(trace: Trace, training: bool | None) -> Mode:
    """The mode of a call: what it is told, or that of the call around it.

    `training=True` where the surrounding call is not training is the model's own wish.
    """
    if training is None:
        return trace.mode
    if training:
        return Mode(True, trace.mode.forced or not trace.mode.training)
    return Mode(False)


def _as_tensor(leaf: Any) -> Any:
    """Arrays and variables among a layer's arguments, as tensors."""
    trace = current_trace()
    assert trace is not None
    if isinstance(leaf, Variable) or (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
        return leaf if isinstance(leaf, SymbolicTensor) else trace.convert(leaf)
    return leaf


def _numbers_as_array(argument: Any) -> Any:
    """Nested lists of plain numbers as one array; anything else as it is."""
    flat = list(leaves(argument)) if isinstance(argument, (list, tuple)) else []
    if flat and all(isinstance(leaf, (bool, int, float)) for leaf in flat):
        return np.asarray(argument)
    return argument


def _shape_of(leaf: Any) -> Any:
    return leaf.shape if isinstance(leaf, SymbolicTensor) else None
