"""Loops and conditionals. Their functions are traced once, into sub-graphs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.dims import Dim, Size, product
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.graph import Value
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType, broadcast_shapes, require_same_size
from kcompile.ops.body import BodyTrace, close_all, pack_tensors, rng_of_outer, tensors_of
from kcompile.ops.dispatch import public
from kcompile.ops.structure import leaves, map_leaves, skeleton
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import RNG_TYPE, Trace, emit, require_trace


@public
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """`carry, y = f(carry, x)` for each x along the first axis of xs: the last carry, all y.

    Args:
        f: a function of structures of tensors; carries keep their types.
        init: the first carry.
        xs: tensors `[T, ...]`; None where only the number of steps counts.
        length: the number of steps, for xs None.
        reverse: whether to begin with the last x.
        unroll: accepted as in Keras; says nothing about what is computed.
    """
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise SpecError(f"unroll must be a positive integer or a bool, got {unroll!r}")
    trace = require_trace()
    carries, sequences = tensors_of(trace, init), tensors_of(trace, xs)
    if not sequences:
        if length is None:
            raise SpecError("scan needs xs or length")
        sequences = [emit(ir.Iota(length))]
    steps = sequences[0].type.shape[0] if sequences[0].type.rank else None
    if length is not None and steps is not None:
        require_same_size(steps, length, f"xs has {steps} steps and length is {length}")

    def step(*tensors: Any) -> Any:
        carry = pack_tensors(init, tensors[: len(carries)])
        x = pack_tensors(xs, tensors[len(carries) :])
        results = f(carry, x)
        if not isinstance(results, (tuple, list)) or len(results) != 2:
            raise SpecError("the function of a scan returns a carry and an output")
        return _checked_carry(results[0], init, carries), results[1]

    results, (_, ys) = emit_scan(trace, step, carries, sequences, reverse)
    last = results[: len(carries)]
    return pack_tensors(init, last), pack_tensors(ys, results[len(carries) :])


def _checked_carry(carry: Any, init: Any, carries: Sequence[TracedTensor]) -> list[Any]:
    """The leaves of a carry; numbers get the element type that the carry has."""
    wanted, found = skeleton(init), skeleton(carry)
    if found != wanted:
        raise SpecError(f"a loop with a carry of the structure {wanted} returns one of {found}")
    flat = [leaf for leaf in leaves(carry) if leaf is not None]
    return [_carried(leaf, before.type.dtype) for leaf, before in zip(flat, carries, strict=True)]


def _carried(leaf: Any, dtype: DType) -> TracedTensor:
    """A leaf of a carry; a number in the element type of the carry.

    Raises:
        SpecError: an integer or bool carry would get a number that its type does not have.
    """
    if hasattr(leaf, "dtype"):
        return require_trace().convert(leaf)
    if dtype.numpy.kind in "biu":
        number = np.asarray(leaf)
        with np.errstate(invalid="ignore"):  # NaN, say, which then differs
            kept = number.astype(dtype.numpy)
        if not np.array_equal(kept, number):
            raise SpecError(
                f"a loop whose carry is {dtype.keras_name} returns the number {leaf!r} for it",
                hint="Begin with a carry of the type that the loop computes",
            )
    return require_trace().convert(leaf, dtype)


def emit_scan(
    trace: Trace,
    step: Callable[..., Any],
    carries: Sequence[TracedTensor],
    sequences: Sequence[TracedTensor],
    reverse: bool = False,
) -> tuple[list[TracedTensor], Any]:
    """The results of a `Scan`, and what `step` returned in the trace of its body.

    Random ops inside draw from a key of their own in each step.
    """
    for x in sequences:
        if not x.type.rank:
            raise ShapeError(f"a scan needs an axis of steps, got {x.type}")
    steps = sequences[0].type.shape[0]
    keys: list[Value] = []

    def key(body: BodyTrace) -> Value:
        if not keys:
            keys.append(body.builder.fresh_input("key", RNG_TYPE))
        return keys[0]

    elements = [x.type.with_shape(x.type.shape[1:]) for x in sequences]
    types = [*(carry.type for carry in carries), *elements]
    body = BodyTrace("body", trace, types, step, key)
    given = list(sequences)
    if keys:
        body.formals.append(TracedTensor(body, keys[0]))
        given.append(_keys(trace, steps))
    (graph,), captures = close_all(body)
    op = ir.Scan(graph, len(carries), len(given), reverse)
    return _as_list(trace.emit(op, *carries, *given, *captures)), body.result


def _keys(trace: Trace, steps: Size) -> TracedTensor:
    """A key `u32[2]` for each step: words of 24 random bits."""
    op = ir.RandomUniform((steps, 2), trace.stream(), forced=True)
    return ops.cast(trace.emit(op, TracedTensor(trace, trace.rng())) * 2.0**24, "uint32")


def _as_list(results: Any) -> list[TracedTensor]:
    return list(results) if isinstance(results, tuple) else [results]


@public
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """`loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)` holds.

    It has no gradient in reverse: how many steps there are is not known. `scan` has one.

    Args:
        cond: gives a bool.
        body: gives new values of the same types.
        loop_vars: a tuple or list of structures of tensors, or one tensor.
        maximum_iterations: ends the loop after that many steps.
    """
    many = isinstance(loop_vars, (tuple, list))
    state = (tuple(loop_vars) if many else (loop_vars,), 0)
    trace = require_trace()
    carries = tensors_of(trace, state)

    def condition(*tensors: Any) -> Any:
        values, count = pack_tensors(state, tensors)
        holds = ops.cast(cond(*values), "bool")
        return holds if maximum_iterations is None else holds & (count < maximum_iterations)

    def step(*tensors: Any) -> Any:
        values, count = pack_tensors(state, tensors)
        results = body(*values)
        if not many:
            results = (results,)
        return _checked_carry((tuple(results), count + 1), state, carries)

    types = [carry.type for carry in carries]
    condition_trace = BodyTrace("condition", trace, types, condition, _no_rng)
    body_trace = BodyTrace("body", trace, types, step, _no_rng)
    (tested, stepped), captures = close_all(condition_trace, body_trace)
    results = _as_list(trace.emit(ir.While(tested, stepped), *carries, *captures))
    values, _ = pack_tensors(state, results)
    if isinstance(loop_vars, list):
        return list(values)
    return values if many else values[0]


def _no_rng(body: BodyTrace) -> Value:
    raise NotImplementedError(
        "random numbers inside of ops.while_loop are not there yet; ops.scan and ops.fori_loop"
        " with numbers as bounds have them"
    )


@public
def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """`value = body_fun(i, value)` for i from `lower` to `upper - 1`, beginning with `init_val`.

    With numbers as bounds it has gradients.
    """
    if isinstance(lower, (int, np.integer)) and isinstance(upper, (int, np.integer)):
        if upper <= lower:
            return pack_tensors(init_val, tensors_of(require_trace(), init_val))
        steps = ops.arange(int(lower), int(upper), dtype="int32")
        return scan(lambda value, i: (body_fun(i, value), None), init_val, steps)[0]
    first, last = ops.cast(lower, "int32"), ops.cast(upper, "int32")
    _, value = while_loop(
        lambda i, value: i < last,
        lambda i, value: (i + 1, body_fun(i, value)),
        (first, init_val),
    )
    return value


@public
def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` if the scalar `pred` holds, else `false_fn()`; results of the same types."""
    if isinstance(pred, (bool, np.bool_)):
        return true_fn() if pred else false_fn()
    trace = require_trace()
    predicate = trace.convert(pred, DType.BOOL)
    branches = [
        BodyTrace(name, trace, (), function, rng_of_outer)
        for name, function in (("then", true_fn), ("otherwise", false_fn))
    ]
    found = [skeleton(branch.result) for branch in branches]
    if found[0] != found[1]:
        raise SpecError(f"the branches return the structures {found[0]} and {found[1]}")
    if not branches[0].flat:
        return branches[0].result
    (then, otherwise), captures = close_all(*branches)
    results = _as_list(trace.emit(ir.If(then, otherwise), predicate, *captures))
    return pack_tensors(branches[0].result, results)


@public
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index outside takes the nearest branch."""
    if not branches:
        raise SpecError("switch needs a branch")
    if len(branches) == 1:
        return branches[0](*operands)
    half = len(branches) // 2
    return cond(
        ops.convert_to_tensor(index) < half,
        lambda: switch(index, branches[:half], *operands),
        lambda: switch(ops.convert_to_tensor(index) - half, branches[half:], *operands),
    )


@public
def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each element along the first axis of the tensors in xs; the results are stacked."""
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


@public
def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """What `map` computes."""
    return map(function, elements)


@public
def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """`y[0] = x[0]`, `y[i] = f(y[i - 1], x[i])` along an axis, for an associative f.

    With a fixed number of elements it takes a logarithmic number of calls of f, each on many of
    them (Blelloch, 1990); otherwise it is a loop.

    Args:
        f: a function of two structures of tensors as in `elems`, whose size along `axis` may be
            any.
        elems: tensors with the same size along `axis`.
        reverse: whether to begin with the last element.
        axis: the axis.
    """
    flat = tensors_of(require_trace(), elems)
    axes = [normalize_axis(axis, x.type.rank) for x in flat]
    # The axis of steps comes first inside, and f sees it where it was.
    moved = [ops.moveaxis(x, a, 0) for x, a in zip(flat, axes, strict=True)]
    moved = [ops.flip(x, 0) for x in moved] if reverse else moved
    size = moved[0].type.shape[0]
    for x in moved:
        message = f"the elements have {size} and {x.type.shape[0]} entries along the axis"
        require_same_size(size, x.type.shape[0], message)

    def combine(left: list[Any], right: list[Any]) -> list[Any]:
        given = (
            pack_tensors(elems, [ops.moveaxis(x, 0, a) for x, a in zip(side, axes, strict=True)])
            for side in (left, right)
        )
        results = tensors_of(require_trace(), f(*given))
        return [ops.moveaxis(y, a, 0) for y, a in zip(results, axes, strict=True)]

    combined = _scan_serially(combine, moved) if isinstance(size, Dim) else _fold(combine, moved)
    combined = [ops.flip(y, 0) for y in combined] if reverse else combined
    return pack_tensors(elems, [ops.moveaxis(y, 0, a) for y, a in zip(combined, axes, strict=True)])


_Combine = Callable[[list[Any], list[Any]], list[Any]]


def _scan_serially(combine: _Combine, xs: list[Any]) -> list[Any]:
    def step(carry: list[Any], element: tuple[Any, list[Any]]) -> tuple[list[Any], list[Any]]:
        i, x = element
        kept = [ops.expand_dims(entry, 0) for entry in x]
        combined = combine(carry, kept)
        after = [ops.where(ops.equal(i, 0), a, b) for a, b in zip(kept, combined, strict=True)]
        return after, [ops.squeeze(y, 0) for y in after]

    steps = emit(ir.Iota(xs[0].type.shape[0]))
    return scan(step, [ops.expand_dims(x[0], 0) for x in xs], (steps, xs))[1]


def _fold(combine: _Combine, xs: list[Any]) -> list[Any]:
    """Pairs are combined, the results are scanned, and what lies between follows from them."""
    size = xs[0].type.shape[0]
    if size < 2:
        return xs
    odd = _fold(combine, combine([x[: size - 1 : 2] for x in xs], [x[1::2] for x in xs]))
    even = [x[:1] for x in xs]
    if size > 2:
        before = [y[: (size - 1) // 2] for y in odd]
        rest = combine(before, [x[2::2] for x in xs])
        even = [ops.concatenate(pair, 0) for pair in zip(even, rest, strict=True)]
    num_even = (size + 1) // 2
    order = np.array([i // 2 + num_even * (i % 2) for i in range(size)], np.int32)
    joined = (ops.concatenate(pair, 0) for pair in zip(even, odd, strict=True))
    return [ops.take(y, order, 0) for y in joined]


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Any = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """`pyfunc` for each element of its arguments, which broadcast against each other.

    Args:
        pyfunc: a function of tensors.
        excluded: positions and names of arguments that are passed on whole.
        signature: the axes that `pyfunc` takes and returns, such as `(n),(n)->()`; it takes
            scalars without one.
    """

    def vectorized(*args: Any, **kwargs: Any) -> Any:
        return _vectorized(pyfunc, frozenset(excluded or ()), signature, args, kwargs)

    return vectorized


@public
def _vectorized(
    pyfunc: Callable[..., Any],
    excluded: frozenset[Any],
    signature: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    places: list[Any] = [key for key in (*range(len(args)), *kwargs) if key not in excluded]
    given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
    tensors = [ops.convert_to_tensor(given[key]) for key in places]
    ranks, result_ranks = _core_ranks(signature, len(tensors))
    loops = [x.type.shape[: x.type.rank - rank] for x, rank in zip(tensors, ranks, strict=True)]
    loop = broadcast_shapes(*loops)
    merged = []
    for x, rank in zip(tensors, ranks, strict=True):
        core = x.type.shape[x.type.rank - rank :]
        merged.append(ops.reshape(ops.broadcast_to(x, (*loop, *core)), (product(loop), *core)))

    def call(elements: list[Any]) -> Any:
        values: dict[Any, Any] = {**given, **dict(zip(places, elements, strict=True))}
        return pyfunc(*(values[i] for i in range(len(args))), **{k: values[k] for k in kwargs})

    def split(y: Any) -> Any:
        return ops.reshape(y, (*loop, *y.type.shape[1:]))

    results = map(call, merged) if loop else call(tensors)
    found = [y.type.rank - bool(loop) for y in leaves(results)]
    if result_ranks is not None and found != result_ranks:
        raise ShapeError(f"the function returns ranks {found}, the signature is {signature!r}")
    return map_leaves(split, results) if loop else results


def _core_ranks(signature: str | None, num_inputs: int) -> tuple[list[int], list[int] | None]:
    """The numbers of axes that the function takes and returns; None for any."""
    if signature is None:
        return [0] * num_inputs, None
    text = signature.replace(" ", "")
    if not re.fullmatch(r"(\(\w*(,\w+)*\),?)*->(\(\w*(,\w+)*\),?)+", text):
        raise SpecError(f"{signature!r} is not a signature such as '(n),(n)->()'")
    ranks = [
        [
            len([axis for axis in group.split(",") if axis])
            for group in re.findall(r"\((.*?)\)", side)
        ]
        for side in text.split("->")
    ]
    if len(ranks[0]) != num_inputs:
        raise SpecError(
            f"the signature {signature!r} takes {len(ranks[0])} tensors, not {num_inputs}"
        )
    return ranks[0], ranks[1]
