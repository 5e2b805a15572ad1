"""Activation functions, by Keras's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ops.activation import (
    celu,
    glu,
    hard_shrink,
    hard_silu,
    hard_tanh,
    log_sigmoid,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)
from kcompile.ops.dispatch import public
from kcompile.ops.nn import (
    elu,
    hard_sigmoid,
    leaky_relu,
    log_softmax,
    mish,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
)
from kcompile.ops.registry import get_registered_object

tanh = ops.tanh
swish = silu
hard_swish = hard_silu


@public
def linear(x: Any) -> Any:
    """x itself."""
    return x


@public
def exponential(x: Any) -> Any:
    """`e ** x`."""
    return ops.exp(x)


def relu(
    x: Any,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Any:
    """`max(x, 0)`; in general `negative_slope * (x - threshold)` below threshold, and at most
    `max_value`.
    """
    if threshold == 0.0 and negative_slope == 0.0:
        result = ops.relu(x)
    elif threshold == 0.0:
        result = ops.leaky_relu(x, negative_slope)
    else:
        below = negative_slope * (x - threshold)
        result = ops.where(x > threshold, x, below)
    return result if max_value is None else ops.minimum(result, max_value)


def hard_sigmoid_keras2(x: Any) -> Any:
    """`min(max(0.2 x + 0.5, 0), 1)`: what Keras 1 and 2 called `hard_sigmoid`."""
    return ops.clip(x * 0.2 + 0.5, 0.0, 1.0)


def gelu(x: Any, approximate: bool = False) -> Any:
    """`x * Phi(x)`, exact by default."""
    return ops.gelu(x, approximate)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "celu": celu,
    "elu": elu,
    "exponential": exponential,
    "gelu": gelu,
    "glu": glu,
    "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid,
    "hard_sigmoid_keras2": hard_sigmoid_keras2,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "log_sigmoid": log_sigmoid,
    "log_softmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "relu6": relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "soft_shrink": soft_shrink,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": squareplus,
    "swish": silu,
    "tanh": tanh,
    "tanh_shrink": tanh_shrink,
    "threshold": threshold,
}


def get(identifier: Any) -> Callable[..., Any]:
    """The function that a name, config, function or layer stands for; `linear` for None.

    Names are those of Keras's activations, and those that functions are registered under.

    Raises:
        SpecError: there is no such activation.
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    name, registered = identifier, None
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "function":
        name, registered = identifier.get("config"), identifier.get("registered_name")
    # What is registered under a name of its own is no function of ours, whatever it is called.
    known = _FUNCTIONS if registered in (None, "function", name) else {}
    for key in (registered, name):
        found = get_registered_object(key, known) if isinstance(key, str) else None
        if found is not None:
            function: Callable[..., Any] = found
            return function
    raise SpecError(
        f"{identifier!r} is not an activation",
        hint=f"Use one of {', '.join(_FUNCTIONS)}, or a function of a tensor",
    )


def is_name(name: str) -> bool:
    """Whether it is the name of one of these functions."""
    return name in _FUNCTIONS


def is_named(activation: Any) -> bool:
    """Whether it is one of these functions, which `get` finds by name."""
    return any(function is activation for function in _FUNCTIONS.values())


def serialize(activation: Callable[..., Any]) -> str:
    """The activation's name.

    Raises:
        SpecError: it is not one of ours.
    """
    for name, function in _FUNCTIONS.items():
        if function is activation:
            return name
    raise SpecError(f"{activation!r} is not an activation with a name of its own")


deserialize = get
