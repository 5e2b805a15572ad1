"""What a graph computes for some inputs; a compiled file is held against it.

onnxruntime is not needed for it: it would take memory while graphs are large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.graph import Graph
from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes import reference
from kcompile.runtimes.onnxruntime.samples import Sizes, choose_sizes, draw_inputs

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
    """

    sizes: Mapping[str, int]
    seed: int
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Expectation:
    """What a graph computes; it needs the graph and its weights no longer.

    Attributes:
        name: the graph's.
        outputs: names of the outputs, in order.
        dtypes: element types of the outputs.
        narrowest: the floating-point type of the graph's values that rounds most.
        runs: inputs and outputs.
    """

    name: str
    outputs: tuple[str, ...]
    dtypes: frozenset[DType]
    narrowest: DType
    runs: tuple[Run, ...]


def expect(
    graph: Graph,
    *,
    seeds: Sequence[int] = (0,),
    sizes: Sequence[Mapping[str, int]] | None = None,
    compute: Compute = reference.run,
    draw: Draw = draw_inputs,
) -> Expectation:
    """What `graph` computes for some inputs.

    Args:
        graph: has DATA inputs only.
        seeds: of the inputs.
        sizes: numbers for the symbolic sizes of each run; by default batch 1 and 3, with two
            small numbers for every other size.
        compute: runs the graph: `(outputs, states)` by name.
        draw: makes the inputs of one run from graph, sizes and seed.

    Raises:
        DataError: the inputs drawn don't fit the graph; give `sizes` or `draw`.
    """
    grid = choose_sizes(graph) if sizes is None else [dict(entry) for entry in sizes]
    runs = []
    for env, seed in itertools.product(grid, seeds):
        inputs = draw(graph, env, seed)
        outputs, _ = compute(graph, inputs)
        arrays = {name: np.asarray(array) for name, array in outputs.items()}
        runs.append(Run(env, seed, inputs, arrays))
    return Expectation(
        graph.name,
        tuple(output.name for output in graph.outputs),
        frozenset(output.value.type.dtype for output in graph.outputs),
        _narrowest(graph),
        tuple(runs),
    )


def _narrowest(graph: Graph) -> DType:
    """The floating-point type of the graph's values that rounds most; all outputs may have it."""
    values = [value for node in graph.nodes for value in node.outputs]
    dtypes = {value.type.dtype for value in values} & TOLERANCES.keys()
    return max(dtypes, key=TOLERANCES.__getitem__, default=DType.FLOAT64)
