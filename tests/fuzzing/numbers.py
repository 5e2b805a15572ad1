"""What a graph computes, and how far rounding errors alone move it.

Next to each value go copies of it that differ by rounding: each element of each result is off by up
to two units in the last place, at random (as in Monte Carlo arithmetic; Parker, 1997), and a zero
has any sign. Where the copies lie apart, any correct runtime may lie apart too: such an output says
nothing and is not compared. All others have the tolerance that every export has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from kcompile.ir.graph import Graph
from kcompile.ir.op import Op, evaluate
from kcompile.ir.ops.control import graphs_of
from kcompile.ir.types import DType
from kcompile.runtimes.binding import bind_arrays, bind_op
from kcompile.runtimes.onnxruntime.expectation import TOLERANCES
from kcompile.runtimes.onnxruntime.verification import SMALLEST_SCALE

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

NUM_COPIES = 3
#: Units in the last place that a result is off by; more for a loop, which has rounded many times.
_UNITS, _UNITS_OF_LOOP = 2, 16
#: The part of its tolerance that rounding may move an output that is compared.
STEADY = 1 / 8


@dataclass(frozen=True)
class Tracked:
    """A value, copies of it with other rounding errors, and the narrowest type before it."""

    exact: Array
    copies: tuple[Array, ...]
    limit: float

    @property
    def tolerance(self) -> float:
        """The difference that two correct ways to compute it may have."""
        return self.limit * max(SMALLEST_SCALE, self.largest)

    @property
    def largest(self) -> float:
        return float(np.max(np.abs(_wide(self.exact)), initial=0.0))

    @property
    def is_finite(self) -> bool:
        return self.exact.dtype == object or bool(np.all(np.isfinite(_wide(self.exact))))

    @property
    def is_steady(self) -> bool:
        """Whether rounding errors move it by a small part of its tolerance only."""
        if not DType.of(self.exact.dtype).is_floating:
            return all(np.array_equal(copy, self.exact) for copy in self.copies)
        wide = _wide(self.exact)
        with np.errstate(invalid="ignore"):
            spread = (np.max(np.abs(_wide(c) - wide), initial=0.0) for c in self.copies)
            return all(number <= STEADY * self.tolerance for number in spread)


def _wide(array: Array) -> Array:
    return array if array.dtype == object else array.astype(np.float64)


def track_given(array: Array) -> Tracked:
    """A value that is given: exactly the same for every runtime."""
    dtype = DType.of(array.dtype)
    return Tracked(array, (array,) * NUM_COPIES, TOLERANCES.get(dtype, 0.0))


def track_node(
    op: Op, operands: Sequence[Tracked | None], rng: np.random.Generator
) -> list[Tracked]:
    """The results of an op without symbols."""
    exact = evaluate(op, tuple(None if x is None else x.exact for x in operands))
    runs = [
        evaluate(op, tuple(None if x is None else x.copies[i] for x in operands))
        for i in range(NUM_COPIES)
    ]
    limit = max((x.limit for x in operands if x is not None), default=0.0)
    units = _UNITS_OF_LOOP if graphs_of(op) else _UNITS
    return [
        Tracked(
            array,
            tuple(_shaken(run[i], units, rng) for run in runs),
            max(limit, TOLERANCES.get(DType.of(array.dtype), 0.0)),
        )
        for i, array in enumerate(exact)
    ]


def _shaken(array: Array, units: int, rng: np.random.Generator) -> Array:
    if not DType.of(array.dtype).is_floating:
        return array
    unit = float(ml_dtypes.finfo(array.dtype).eps)
    wide = _wide(array)
    factor = 1 + units * unit * rng.uniform(-1, 1, array.shape)
    with np.errstate(all="ignore"):
        # Runtimes agree on zeros, not on their signs, nor on when something small becomes one.
        is_tiny = np.abs(wide) < unit * np.max(np.abs(wide), initial=0.0)
        small = rng.choice((0, 1), array.shape)
        factor = np.where(array == 0, rng.choice((-1, 1), array.shape), factor)
        return np.asarray(wide * np.where(is_tiny & (array != 0), small, factor)).astype(
            array.dtype
        )


def track_graph(graph: Graph, arrays: Mapping[str, Any], seed: int = 0) -> dict[str, Tracked]:
    """Every output of `graph` by name."""
    rng = np.random.default_rng(seed)
    bound, env = bind_arrays(graph, arrays)
    values = {name: track_given(np.asarray(array)) for name, array in bound.items()}
    for node in graph.nodes:
        operands = [None if value is None else values[value.name] for value in node.inputs]
        exact = [None if operand is None else operand.exact for operand in operands]
        results = track_node(bind_op(node, exact, env, graph), operands, rng)
        values.update(zip((value.name for value in node.outputs), results, strict=True))
    return {output.name: values[output.value.name] for output in graph.outputs}


def difference(actual: Any, expected: Tracked) -> str | None:
    """How `actual` differs from what is expected; None if it does not, or says nothing."""
    actual, wanted = np.asarray(actual), expected.exact
    if actual.dtype != wanted.dtype or actual.shape != wanted.shape:
        return f"{actual.dtype}{list(actual.shape)}, not {wanted.dtype}{list(wanted.shape)}"
    if not expected.is_finite or not expected.is_steady:
        return None
    if not DType.of(wanted.dtype).is_floating:
        count = int(np.sum(actual != wanted))
        return f"{count} of {wanted.size} elements differ" if count else None
    distance = float(np.max(np.abs(_wide(actual) - _wide(wanted)), initial=0.0))
    if distance <= expected.tolerance:
        return None
    return f"off by {distance:.3g}, may be {expected.tolerance:.3g}"
