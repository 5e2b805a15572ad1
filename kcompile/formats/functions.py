"""Functions of `kcompile.ops` as steps of a functional model."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.formats.function_table import BY_NAME, KerasFunction
from kcompile.ir.errors import SpecError
from kcompile.ops.dispatch import FUNCTIONS, FunctionOperation
from kcompile.ops.node import CallNode

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


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


def split_arguments(function: KerasFunction, node: CallNode) -> tuple[Arguments, dict[str, Any]]:
    """The arguments of a call, and apart from them those in the config; defaults included."""
    bound = inspect.signature(FUNCTIONS[function.name]).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, parameter in bound.signature.parameters.items():
        value = bound.arguments[name]
        if name in function.attributes:
            attributes[name] = value
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= value
        else:
            args.append(value)
    return (tuple(args), kwargs), attributes


def call_function(
    operation: FunctionOperation,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> Any:
    """The call that `split_arguments` took apart.

    Raises:
        SpecError: there are more arguments than the function takes.
    """
    parameters = inspect.signature(FUNCTIONS[operation.function_name]).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        named = dict(attributes)
        leading = []
        for name in parameters:  # as in einsum(subscripts, *operands)
            if name not in named:
                break
            leading.append(named.pop(name))
        return operation(*leading, *args, **kwargs, **named)
    of_call = [name for name in parameters if name not in attributes]
    if len(args) > len(of_call):
        raise SpecError(
            f"ops.{operation.function_name} takes {', '.join(of_call)}, got {len(args)} arguments",
            where=f"layer '{operation.name}'",
        )
    by_place = len(list(itertools.takewhile(lambda name: name not in attributes, parameters)))
    by_name = dict(zip(of_call[by_place:], args[by_place:], strict=False))
    return operation(*args[:by_place], **by_name, **kwargs, **attributes)
