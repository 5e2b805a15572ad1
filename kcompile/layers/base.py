"""Layers: what a model is defined with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile import dtype_policies, regularizers
from kcompile.ir.errors import KCompileError, SpecError
from kcompile.ir.ops import DimSize
from kcompile.layers import calling, masks
from kcompile.layers import config as configs
from kcompile.layers.input_spec import check_inputs
from kcompile.layers.stateless import StatelessCalls
from kcompile.ops import limits, scopes
from kcompile.ops.configs import argument_names
from kcompile.ops.dispatch import has_keras_tensor, record_call
from kcompile.ops.naming import automatic_name
from kcompile.ops.node import CallNode
from kcompile.ops.structure import leaves
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import (
    Trace,
    current_trace,
    emit,
    infer_outputs,
    require_trace,
    run_eagerly,
)

#: Arguments that give the shape of the first layer's input, here or under Keras 1 and 2.
_INPUT_ARGUMENTS = ("input_shape", "input_dim", "batch_input_shape", "batch_size", "input_dtype")


class Layer(StatelessCalls):
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
        args = tuple(calling.numbers_as_array(argument) for argument in args)
        with scopes.gathered_losses() as losses:
            result = run_eagerly(self.name, self._call_traced, args, kwargs, training=training)
        self._call_losses = losses
        return result

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
        limits.count_steps(limits.STEPS_OF_A_LAYER)
        args = tuple(calling.as_tensors(argument) for argument in args)
        with trace.builder.scope(self.name):
            try:
                return self._call_in_scope(trace, args, kwargs)
            except KCompileError as error:
                if error.where is None:  # the innermost layer is the place
                    error.where = f"layer '{trace.builder.source}'"
                raise

    def _call_in_scope(self, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            check_inputs(getattr(self, "input_spec", None), args[0])
        self._ensure_built(args, kwargs)
        args, kwargs = self.autocast_inputs(args), self.autocast_inputs(kwargs)
        mode = calling.mode_of(trace, kwargs.get("training"))
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

    def _ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.built:
            return
        shapes = [calling.shapes_of(argument) for argument in args]
        wanted = [
            name for name in inspect.signature(self.build).parameters if name.endswith("_shape")
        ]
        if len(wanted) > 1:
            bound = inspect.signature(self.call).bind(*args, **kwargs).arguments
            named = {f"{key}_shape": calling.shapes_of(value) for key, value in bound.items()}
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
