"""Arrays held against the inputs of a graph. Knows no runtime: `.shape` and `.dtype` are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, ShapeError
from kcompile.ir.graph import Graph, Input, Node
from kcompile.ir.op import Op, infer_types
from kcompile.ir.types import DimMismatchError, DType, TensorType, bind_symbols


def bind_arrays(graph: Graph, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """The arrays of all inputs of `graph` in its order, and the numbers of its symbolic sizes.

    Args:
        graph: the graph to be run.
        arrays: by input name; NumPy or JAX arrays, traced ones too. Anything else becomes a NumPy
            array first.

    Raises:
        DataError: an input is missing or unknown, has another element type or shape than the
            graph says, or two arrays disagree on a symbolic size.
    """
    where = f"graph '{graph.name}'"
    names = {entry.name for entry in graph.inputs}
    for name in arrays:
        if name not in names:
            listed = ", ".join(f"%{entry.name}" for entry in graph.inputs)
            raise DataError(
                f"there is no input %{name}", where=where, hint=f"The inputs are {listed or 'none'}"
            )
    bound = {entry.name: _array(entry, arrays, where) for entry in graph.inputs}
    env: dict[str, int] = {}
    for _ in range(2):  # the second time, sizes such as 2*time know time from a later input
        for entry in graph.inputs:
            _bind_shape(entry, bound[entry.name].shape, env, where)
    return bound, env


def _array(entry: Input, arrays: Mapping[str, Any], where: str) -> Any:
    """The array of one input, of the element type that it needs."""
    if entry.name not in arrays:
        raise DataError(f"the {entry.role} input {entry.value} is missing", where=where)
    array = arrays[entry.name]
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        array = np.asarray(array)
    if entry.type.dtype is DType.STRING and array.dtype.kind in "US":
        array = array.astype(object)
    try:
        dtype = DType.of(array.dtype)
    except ShapeError:
        dtype = None
    if dtype is not entry.type.dtype:
        expected = entry.type.dtype.keras_name
        raise DataError(
            f"the input {entry.value} needs elements of type {expected}, got {array.dtype}",
            where=where,
            hint=f"Cast it: %{entry.name} = numpy.asarray(values).astype('{expected}')",
        )
    return array


def _bind_shape(entry: Input, shape: Sequence[int], env: dict[str, int], where: str) -> None:
    try:
        bind_symbols(entry.type, tuple(shape), env)
    except DimMismatchError as error:
        raise DataError(f"the input %{entry.name} {error.message}", where=where) from None
    for symbol in entry.type.symbols & env.keys():
        if env[symbol] < 1:
            raise DataError(
                f"the input {entry.value} has {symbol} = {env[symbol]}, which must be positive",
                where=where,
            )


def bind_op(node: Node, operands: Sequence[Any], env: Mapping[str, int], graph: Graph) -> Op:
    """The op of `node` without symbols, held against the operands that it is about to get.

    Raises:
        DataError: the op is not defined for these sizes, though its type rule holds for the
            symbolic ones: a slice or window that is longer than its axis.
    """
    types = tuple(None if array is None else TensorType.of(array) for array in operands)
    try:
        op = node.op.bind(env)
        infer_types(op, types)
    except ShapeError as error:
        sizes = ", ".join(f"{symbol} = {env[symbol]}" for symbol in graph.symbols)
        message = f"not defined for {sizes}: {error}"
        raise DataError(message, where=describe(graph, node)) from error
    return op


def describe(graph: Graph, node: Node) -> str:
    """Where a node is, for errors."""
    made = ", ".join(f"%{value.name}" for value in node.outputs)
    return f"graph '{graph.name}': {made} = {node.op.name}"


def mismatch(node: Node, results: Sequence[Any], env: Mapping[str, int]) -> str | None:
    """How the types of `results` differ from those that the graph says; None if they agree."""
    expected = [value.type.substitute(env) for value in node.outputs]
    found = [TensorType.of(array) for array in results]
    if found == expected:
        return None
    return f"made {', '.join(map(str, found))}, the graph says {', '.join(map(str, expected))}"
