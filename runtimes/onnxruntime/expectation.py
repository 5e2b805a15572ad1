"""What a graph computes for some inputs; a compiled file is held against it.

onnxruntime is not needed for it: it would take memory while graphs are large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.dims import symbols_of
from kcompile.ir.graph import Graph, Value
from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes import reference
from kcompile.runtimes.onnxruntime.samples import (
    Sizes,
    batch_symbols,
    choose_sizes,
    draw_inputs,
)

Compute = Callable[[Graph, Mapping[str, Any]], tuple[Mapping[str, Any], Mapping[str, Any]]]
Draw = Callable[[Graph, Sizes, int], Mapping[str, Array]]

#: The difference that an output may have, in relation to `max(SMALLEST_SCALE, largest element)`.
#:
#: Rounding errors of a sum grow with its terms and not with its value, so an element is not held
#: against itself but against the largest one. float32's 1e-5 is about 80 units in the last place:
#: ResNets stay below a tenth of it, while one wrong weight or a forgotten epsilon is far above.
#: Integers and bools are equal or wrong.
TOLERANCES: dict[DType, float] = {
    DType.FLOAT64: 1e-12,
    DType.FLOAT32: 1e-5,
    DType.FLOAT16: 5e-3,
    DType.BFLOAT16: 3e-2,
}


@dataclass(frozen=True)
class Run:
    """Inputs, and what the graph makes of them.

    Attributes:
        sizes: numbers of the symbolic sizes.
        seed: of the inputs.
        inputs, outputs: arrays by name.
        is_part: whether it is the first sample of a larger batch, which was computed with it.
    """

    sizes: Mapping[str, int]
    seed: int
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    is_part: bool = False


@dataclass(frozen=True)
class Expectation:
    """What a graph computes; it needs the graph and its weights only in doubt.

    Attributes:
        name: the graph's.
        outputs: names of the outputs, in order.
        batched: names of the outputs whose first axis is the batch.
        dtypes: element types of the outputs.
        narrowest: the floating-point type of the graph's values that rounds most.
        runs: inputs and outputs.
        again: gives the graph once more.
    """

    name: str
    outputs: tuple[str, ...]
    batched: frozenset[str]
    dtypes: frozenset[DType]
    narrowest: DType
    runs: tuple[Run, ...]
    again: Callable[[], Graph] = field(repr=False, compare=False)


def rounding(
    graph: Graph, run: Run, compute: Callable[..., Any] = reference.run, seed: int = 1
) -> dict[str, Array]:
    """How far rounding carries in each element of the floating-point outputs of a run.

    Rounding every value in the graph otherwise, at random, tells how well an output is determined
    by numbers of this precision: a net can magnify what is lost by a thousand.
    """
    moved, _ = compute(graph, run.inputs, jitter=np.random.default_rng(seed))
    return {
        name: _distance(array, moved[name])
        for name, array in run.outputs.items()
        if DType.of(array.dtype).is_floating
    }


def _distance(a: Array, b: Array) -> Array:
    """The difference of each element; 0 where it is no number: nothing is allowed for there."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return np.where(np.isfinite(distance), distance, 0.0)


def expect(
    graph: Graph,
    *,
    seeds: Sequence[int] = (0,),
    sizes: Sequence[Mapping[str, int]] | None = None,
    compute: Compute = reference.run,
    draw: Draw = draw_inputs,
    again: Callable[[], Graph] | None = None,
) -> Expectation:
    """What `graph` computes for some inputs.

    Args:
        graph: has DATA inputs only.
        seeds: of the inputs.
        sizes: numbers for the symbolic sizes of each run; by default batch 1 and 3, with two
            small numbers for every other size.
        compute: runs the graph: `(outputs, states)` by name.
        draw: makes the inputs of one run from graph, sizes and seed.
        again: gives the graph once more, where it is not to be kept.

    Raises:
        DataError: the inputs drawn don't fit the graph; give `sizes` or `draw`.
    """
    grid = choose_sizes(graph) if sizes is None else [dict(entry) for entry in sizes]
    batches = _separable_batches(graph) if sizes is None else frozenset[str]()
    runs = []
    for env, seed in itertools.product(grid, seeds):
        if batches and all(env[symbol] == 1 for symbol in batches):
            continue  # comes with a larger batch
        inputs = draw(graph, env, seed)
        outputs, _ = compute(graph, inputs)
        arrays = {name: np.asarray(array) for name, array in outputs.items()}
        run = Run(env, seed, inputs, arrays)
        runs += [_first_sample(run, batches), run] if batches else [run]
    leading = batch_symbols(graph)
    return Expectation(
        graph.name,
        tuple(output.name for output in graph.outputs),
        frozenset(o.name for o in graph.outputs if _is_batched(o.value, leading)),
        frozenset(output.value.type.dtype for output in graph.outputs),
        _narrowest(graph),
        tuple(runs),
        again or (lambda: graph),
    )


def _is_batched(value: Value, batches: frozenset[str]) -> bool:
    """Whether the first axis is the batch, and no other one has to do with it."""
    if not value.type.rank or str(value.type.shape[0]) not in batches:
        return False
    return not any(batches & symbols_of(size) for size in value.type.shape[1:])


def _separable_batches(graph: Graph) -> frozenset[str]:
    """The symbols of the batch, if nothing but first axes has to do with it, at any place.

    Samples may still be mixed along those; then the first one differs when it is alone.
    """
    batches = batch_symbols(graph)
    values = [*(i.value for i in graph.inputs), *(o.value for o in graph.outputs)]
    for node in graph.nodes:
        given = [value for value in node.inputs if value is not None]
        sizes = [size for value in (*given, *node.outputs) for size in value.type.shape]
        symbols = node.op.symbols.union(*map(symbols_of, sizes))
        if batches & symbols:
            values += node.outputs
    return batches if all(_is_batched(value, batches) for value in values) else frozenset()


def _first_sample(run: Run, batches: frozenset[str]) -> Run:
    def first(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: array[:1] for name, array in arrays.items()}

    sizes = {**run.sizes, **dict.fromkeys(batches, 1)}
    return Run(sizes, run.seed, first(run.inputs), first(run.outputs), is_part=True)


def _narrowest(graph: Graph) -> DType:
    """The floating-point type of the graph's values that rounds most; all outputs may have it."""
    values = [value for node in graph.nodes for value in node.outputs]
    dtypes = {value.type.dtype for value in values} & TOLERANCES.keys()
    return max(dtypes, key=TOLERANCES.__getitem__, default=DType.FLOAT64)
