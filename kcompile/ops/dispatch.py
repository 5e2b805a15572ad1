"""How a public function runs: recorded between KerasTensors, traced, or eagerly on arrays."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from kcompile.ops.naming import automatic_name
from kcompile.ops.node import CallNode
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import KerasTensor
from kcompile.ops.trace import current_trace, infer_outputs, run_eagerly

P = ParamSpec("P")
R = TypeVar("R")

#: Keras names a step after the class of its operation; these are not called like the function.
NAMES_OF_STEPS = {
    "abs": "absolute",
    "allclose": "all_close",
    "batch_normalization": "batch_norm",
    "cdist": "c_dist",
    "conj": "conjugate",
    "exponential": "exp",
    "hard_swish": "hard_silu",
    "isin": "is_in",
    "layer_normalization": "layer_norm",
    "rms_normalization": "rms_norm",
    "searchsorted": "search_sorted",
    "swish": "silu",
}
#: Every public function by name; what a functional model's config may call.
FUNCTIONS: dict[str, Callable[..., Any]] = {}

#: Parameters whose values decide about shapes: arrays given for them are read, and not traced.
KNOWN = frozenset(
    (
        *("axis", "axes", "axis1", "axis2", "axisa", "axisb", "axisc", "source", "destination"),
        *("keepdims", "shape", "newshape", "repeats", "pad_width", "indices_or_sections", "shift"),
        *("k", "n", "num", "N", "M", "num_classes", "num_segments", "minlength", "range", "size"),
        *("strides", "dilation_rate", "pool_size", "output_size", "kernel_size", "block_size"),
        *("decimals", "ord"),
    )
)
KNOWN_OF = {"arange": frozenset(("start", "stop", "step"))}


class FunctionOperation:
    """A function of `kcompile.ops` as a step of a functional model."""

    def __init__(self, function_name: str, name: str | None = None) -> None:
        self.function_name = function_name
        self.name = name or automatic_name(NAMES_OF_STEPS.get(function_name, function_name))
        self.nodes: list[CallNode] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = FUNCTIONS[self.function_name]
        if not has_keras_tensor(args, kwargs):
            return function(*args, **kwargs)
        types = infer_outputs(function, args, kwargs)
        return record_call(self, args, kwargs, types)


def has_keras_tensor(args: Any, kwargs: Any) -> bool:
    """Whether a KerasTensor is among the arguments."""
    return any(isinstance(leaf, KerasTensor) for leaf in leaves((args, list(kwargs.values()))))


def record_call(operation: Any, args: Any, kwargs: Any, types: Any) -> Any:
    """KerasTensors of the given types, as results of a call of `operation`."""
    node = CallNode(operation, args, kwargs, len(operation.nodes))
    operation.nodes.append(node)
    made: list[KerasTensor] = []

    def tensor(type: Any) -> Any:
        if type is None:
            return None
        index = len(made)
        name = f"{operation.name}_{index}" if index else operation.name
        made.append(KerasTensor(type, node, index, name))
        return made[-1]

    node.outputs = map_leaves(tensor, types)
    return node.outputs


def _plain(value: Any) -> Any:
    """Arrays, of NumPy or a runtime, as numbers and lists of them."""
    return value.tolist() if hasattr(value, "tolist") else value


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Make `function`, written with traced tensors, take arrays and KerasTensors as well."""
    FUNCTIONS[function.__name__] = function
    names = tuple(inspect.signature(function).parameters)
    known = KNOWN & {*names} | KNOWN_OF.get(function.__name__, frozenset())

    def read(name: str, value: Any) -> Any:
        return map_leaves(_plain, value) if name in known else value

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> R:
        if known:
            given = itertools.starmap(read, zip(names, args, strict=False))
            args = (*given, *args[len(names) :])
            kwargs = {name: read(name, value) for name, value in kwargs.items()}
        if has_keras_tensor(args, kwargs):
            return FunctionOperation(function.__name__)(*args, **kwargs)
        if current_trace() is not None:
            return function(*args, **kwargs)
        return run_eagerly(function.__name__, function, args, kwargs)

    return run
