"""Functions of `kcompile.ops` as steps of a functional model, and how Keras writes each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.ops.dispatch import FUNCTIONS, FunctionOperation
from kcompile.ops.node import CallNode


@dataclass(frozen=True)
class KerasFunction:
    """How Keras writes a function.

    Attributes:
        name: the function's name in `kcompile.ops`.
        module, class_name: of Keras's operation.
        attributes: parameters that stand in the config; the others are arguments of the call.
        inert: config keys that say nothing here, and the value that they must have.
    """

    name: str
    module: str
    class_name: str
    attributes: tuple[str, ...] = ()
    inert: Mapping[str, Any] = field(default_factory=dict)


def _function(
    name: str, module: str, *attributes: str, class_name: str = "", **inert: Any
) -> KerasFunction:
    camel = "".join(part.capitalize() for part in name.split("_"))
    return KerasFunction(name, f"keras.src.ops.{module}", class_name or camel, attributes, inert)


_WINDOW = ("pool_size", "strides", "padding", "data_format")
_REDUCTION = ("axis", "keepdims")
_NO_ATTRIBUTES = {
    "numpy": "absolute add ceil cos divide equal exp expm1 floor get_item greater greater_equal"
    " isfinite isnan less less_equal log log1p logical_and logical_not logical_or matmul maximum"
    " minimum mod multiply negative not_equal power reciprocal sign sin sqrt square subtract tanh"
    " true_divide where",
    "nn": "hard_sigmoid relu relu6 selu sigmoid silu softplus softsign",
    "math": "erf rsqrt",
}
_TABLE = (
    # Other names of functions that stand further down, where reading finds them.
    _function("abs", "numpy", class_name="Absolute"),
    _function("exponential", "numpy", class_name="Exp"),
    *(
        _function(name, module)
        for module, names in _NO_ATTRIBUTES.items()
        for name in names.split()
    ),
    _function("argmax", "numpy", *_REDUCTION),
    _function("argmin", "numpy", *_REDUCTION),
    _function("average_pool", "nn", *_WINDOW),
    _function("cast", "core", "dtype"),
    _function("clip", "numpy", "x_min", "x_max"),
    _function("concatenate", "numpy", "axis"),
    _function("elu", "nn", "alpha"),
    _function("expand_dims", "numpy", "axis"),
    _function("gelu", "nn", "approximate"),
    _function("leaky_relu", "nn", "negative_slope"),
    _function("log_softmax", "nn", "axis"),
    _function("logsumexp", "math", *_REDUCTION),
    _function("max", "numpy", *_REDUCTION, "initial"),
    _function("max_pool", "nn", *_WINDOW),
    _function("mean", "numpy", *_REDUCTION),
    _function("min", "numpy", *_REDUCTION, "initial"),
    _function("one_hot", "nn", "num_classes", "axis", "dtype", sparse=False),
    _function("pad", "numpy", "pad_width", "mode"),
    _function("reshape", "numpy", "newshape"),
    _function("round", "numpy", "decimals"),
    _function("softmax", "nn", "axis"),
    _function("squeeze", "numpy", "axis"),
    _function("stack", "numpy", "axis"),
    _function("std", "numpy", *_REDUCTION),
    _function("sum", "numpy", *_REDUCTION),
    _function("take", "numpy", "axis"),
    _function("transpose", "numpy", "axes"),
    _function("var", "numpy", *_REDUCTION),
)

BY_NAME = {function.name: function for function in _TABLE}
BY_CLASS = {(function.module, function.class_name): function for function in _TABLE}


def keras_function(operation: FunctionOperation) -> KerasFunction:
    """How Keras writes the function of a step.

    Raises:
        SpecError: there is no such way.
    """
    if operation.function_name not in BY_NAME:
        raise SpecError(
            f"a file cannot hold ops.{operation.function_name} between layers",
            where=f"layer '{operation.name}'",
            hint="Put it into a layer of your own, or use another function",
        )
    return BY_NAME[operation.function_name]


def bound_arguments(function: KerasFunction, node: CallNode) -> dict[str, Any]:
    """Every argument of a call by its parameter's name, defaults included."""
    bound = inspect.signature(FUNCTIONS[function.name]).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return bound.arguments
