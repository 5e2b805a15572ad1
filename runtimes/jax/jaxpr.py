"""JAX functions to IR: the jaxpr of a function, equation by equation.

With open sizes it is traced with JAX's symbolic dimensions, so that what comes out holds for all of
them. A primitive that is not in the table leaves the whole function as it is, in a `ForeignCall`:
that trains, and is not exported. A function with derivatives of its own becomes a `CustomGradient`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from types import MethodType
from typing import Any

import jax
import numpy as np
from jax.extend import core

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops import CustomGradient, ForeignCall
from kcompile.ir.ops.foreign import register_function
from kcompile.ir.types import DType, TensorType
from kcompile.ops.body import BodyTrace, close_all, rng_of_outer
from kcompile.ops.structure import leaves, pack_like
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import require_trace
from kcompile.runtimes.jax import jaxpr_control, jaxpr_indexing, jaxpr_primitives
from kcompile.runtimes.jax.jaxpr_sizes import jax_shapes, type_of
from kcompile.runtimes.jax.jaxpr_table import IMPORTERS, Equation, UnmappedError

__all__ = ["jaxpr_control", "jaxpr_indexing", "jaxpr_primitives", "trace_function"]

#: Primitives that call a jaxpr, and the parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
_OWN_DERIVATIVES = ("custom_jvp_call", "custom_vjp_call")
#: Constants of up to as many elements are computed here.
_MAX_FOLDED = 4096


def trace_function(
    function: Callable[..., Any], args: Any, named: dict[str, Any], static: dict[str, Any]
) -> Any:
    """What a JAX function returns for tensors of the current trace, as such tensors.

    Args:
        function: a pure function; the same object, or bound method, from call to call.
        args: a tuple of structures; tensors in it become arrays.
        named: further ones by name.
        static: further arguments by name, which are no tensors.

    Raises:
        ShapeError: what it does depends on the number that an open size has.
    """
    arguments = args, named
    flat = list(leaves(arguments))
    places = [i for i, leaf in enumerate(flat) if isinstance(leaf, TracedTensor)]
    tensors = [flat[i] for i in places]
    trees: list[Any] = []

    kept = [None if i in places else leaf for i, leaf in enumerate(flat)]

    def call(*arrays: Any) -> list[Any]:
        given = list(kept)
        for place, array in zip(places, arrays, strict=True):
            given[place] = array
        positional, by_name = pack_like(arguments, given)
        results, tree = jax.tree.flatten(function(*positional, **by_name, **static))
        trees[:] = [tree]
        return [jax.numpy.asarray(result) for result in results]

    try:
        closed = jax.make_jaxpr(call)(*jax_shapes([x.type for x in tensors]))
    except core.InconclusiveDimensionOperation as error:
        raise ShapeError(
            f"what the JAX function does depends on the number that an open size has: {error}",
            hint="Give the input a fixed size on that axis",
        ) from error
    identity = (_identity(function), _content(arguments), _content(static))
    name = register_function(getattr(function, "__name__", "function"), identity, call)
    return jax.tree.unflatten(trees[0], _emit(name, closed, tensors))


def _identity(function: Callable[..., Any]) -> Hashable:
    """The same for a method of one object, which is bound anew whenever it is looked up."""
    if isinstance(function, MethodType):
        return id(function.__self__), id(function.__func__)
    return id(function)


def _content(value: Any) -> Hashable:
    """Equal for values that no function can tell apart; all tensors have the same one.

    The id of any other object stays its own: the function that is registered holds the object.
    """
    kind = type(value)
    if isinstance(value, TracedTensor):
        return TracedTensor
    if isinstance(value, dict):
        return kind, tuple((_content(key), _content(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return kind, tuple(map(_content, value))
    if _holds_numbers(value):
        array = np.asarray(value)
        is_weak = getattr(value, "weak_type", False)
        return kind, str(array.dtype), array.shape, is_weak, array.tobytes()
    if kind in (bool, int, float, complex, str, bytes):
        return kind, repr(value)  # unlike ==, it tells -0.0 from 0.0
    return kind, id(value)


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, jax.Array):
        is_known = not isinstance(value, jax.core.Tracer)
        return is_known and not jax.numpy.issubdtype(value.dtype, jax.dtypes.extended)
    return isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject


def _emit(name: str, closed: Any, tensors: list[TracedTensor]) -> list[TracedTensor]:
    trace = require_trace()
    types = [x.type for x in tensors]

    def run(*inputs: TracedTensor) -> list[TracedTensor]:
        return [require_trace().convert(y) for y in evaluate(closed, inputs)]

    try:
        if not any(_has_own_derivatives(closed.jaxpr)):
            return run(*tensors)
        body = BodyTrace("body", trace, types, run, rng_of_outer)
    except UnmappedError as error:
        results = [type_of(var.aval) for var in closed.jaxpr.outvars]
        op = ForeignCall(
            name,
            error.primitive,
            tuple(type.dtype.value for type in results),
            tuple(type.rank for type in results),
            tuple(size for type in results for size in type.shape),
        )
        return _listed(trace.emit(op, *tensors))
    (graph,), captures = close_all(body)
    op_with_body = CustomGradient(name, len(tensors), graph)
    return _listed(trace.emit(op_with_body, *tensors, *captures))


def _listed(results: Any) -> list[TracedTensor]:
    return list(results) if isinstance(results, tuple) else [results]


def _has_own_derivatives(jaxpr: Any) -> Iterator[bool]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name in _OWN_DERIVATIVES
        for inner in _jaxprs(equation.params):
            yield from _has_own_derivatives(inner)


def _jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for entry in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(entry, core.ClosedJaxpr):
                yield entry.jaxpr
            elif isinstance(entry, core.Jaxpr):
                yield entry


def evaluate(closed: Any, inputs: Sequence[Any]) -> list[Any]:
    """The results of a closed jaxpr: tensors, or arrays for what is known."""
    return _evaluate(closed.jaxpr, closed.consts, inputs)


def _evaluate(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))

    def read(var: Any) -> Any:
        if isinstance(var, core.Literal):
            return np.asarray(var.val, type_of(var.aval).dtype.numpy)
        return values[var]

    for equation in jaxpr.eqns:
        results = _equation(equation, [read(var) for var in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _equation(equation: Any, operands: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = params[_CALLS[name]]
        if isinstance(inner, core.ClosedJaxpr):
            return evaluate(inner, operands)
        return _evaluate(inner, (), operands)
    try:
        types = [type_of(var.aval) for var in equation.outvars]
    except ShapeError as error:
        raise UnmappedError(name) from error
    if name != "dim_as_value" and _can_fold(operands, types):
        return _fold(equation, operands)
    importer = IMPORTERS.get(name)
    if importer is None:
        raise UnmappedError(name)
    try:
        results = importer(Equation(name, params, types, evaluate), *operands)
    except (SpecError, NotImplementedError) as error:  # an op refuses this case
        raise UnmappedError(name) from error
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    for result, type in zip(results, types, strict=True):
        if _type(result) != type:  # the importer does not hold for this case
            raise UnmappedError(name)
    return results


def _type(value: Any) -> TensorType:
    return value.type if isinstance(value, TracedTensor) else TensorType.of(value)


def _can_fold(operands: list[Any], types: list[TensorType]) -> bool:
    known = not any(isinstance(operand, TracedTensor) for operand in operands)
    return known and all(
        isinstance(type.size, int) and type.size <= _MAX_FOLDED and type.dtype is not DType.STRING
        for type in types
    )


def _fold(equation: Any, operands: list[Any]) -> list[Any]:
    with jax.ensure_compile_time_eval():
        results = equation.primitive.bind(*operands, **equation.params)
    many = equation.primitive.multiple_results
    return [np.asarray(result) for result in (results if many else [results])]
