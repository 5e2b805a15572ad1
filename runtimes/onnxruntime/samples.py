"""Sizes and inputs to run a graph with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.ir.dims import Dim, Size, substitute
from kcompile.ir.errors import DataError, ShapeError
from kcompile.ir.graph import Graph, Input, Node
from kcompile.ir.op import Array, infer_types
from kcompile.ir.ops import (
    BroadcastTo,
    Cast,
    Concatenate,
    Gather,
    OneHot,
    Reshape,
    Slice,
    Transpose,
)
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnxruntime.text_samples import (
    Vocabulary,
    draw_keys,
    draw_texts,
    find_vocabularies,
)

Sizes = dict[str, int]

#: Numbers for sizes along the first axis, which are batches.
BATCHES = (1, 3)
#: The same for graphs that have a value of more than so many elements in each sample.
BATCHES_OF_LARGE = (1, 2)
LARGE_SAMPLE = 2**19
#: What is tried for other sizes: each odd number up to a thousand, then some.
TRIED = (*range(1, 1026, 2), *(2**power + odd for power in range(11, 17) for odd in (1, 3)))
#: Standard deviations of a batch's samples, by their number.
SCALES = {1: (1.0,), 2: (0.1, 3.0), 3: (0.1, 1.0, 3.0)}
#: Integers below this one mean nothing in particular and fit every integer type.
INTEGERS = 9
#: Integers up to here are numbers of every floating-point type, bfloat16 too.
EXACT_IN_FLOATS = 2**8
#: Ops whose results hold nothing but the numbers of their operands.
_MOVES = (BroadcastTo, Cast, Concatenate, Reshape, Slice, Transpose)


def choose_sizes(graph: Graph) -> list[Sizes]:
    """Numbers for the symbolic sizes: batches of 1 and 3, by the two least that fit of the others.

    Symbols other than the batch get odd numbers that all differ, so that none stands for another.
    Where samples are large the batches are of 1 and 2.

    Raises:
        DataError: no number up to 65,539 fits.
    """
    batches = sorted(batch_symbols(graph))
    others = [symbol for symbol in graph.symbols if symbol not in batches]
    found = _choose_others(graph, others, batches)
    if not batches:
        return found
    is_large = _largest_sample(graph, found[-1], batches) > LARGE_SAMPLE
    numbers = BATCHES_OF_LARGE if is_large else BATCHES
    return [dict.fromkeys(batches, number) | env for number in numbers for env in found]


def _choose_others(graph: Graph, others: list[str], batches: list[str]) -> list[Sizes]:
    if not others:
        return [{}]
    found: list[Sizes] = []
    for start in TRIED:
        env = {symbol: start + 2 * i for i, symbol in enumerate(others)}
        if _fits(graph, dict.fromkeys(batches, BATCHES[0]) | env):
            found.append(env)
            if len(found) == 2:
                return found
    raise DataError(
        f"found no numbers up to {max(TRIED)} for {', '.join(others)} that every op takes",
        where=f"graph '{graph.name}'",
        hint="Give the sizes to verify with",
    )


def _largest_sample(graph: Graph, env: Sizes, batches: list[str]) -> int:
    """Elements of the largest value that is made, for a batch of one."""
    alone = dict.fromkeys(batches, 1) | env
    values = (value for node in graph.nodes for value in node.outputs)
    counts = (math.prod(_number(size, alone) for size in value.type.shape) for value in values)
    return max(counts, default=0)


def batch_symbols(graph: Graph) -> frozenset[str]:
    """The symbols that stand alone as the first size of an input."""
    leading = (entry.type.shape[0] for entry in graph.inputs if entry.type.rank)
    return frozenset(str(size) for size in leading if isinstance(size, Dim) and size.is_symbol)


def _fits(graph: Graph, env: Sizes) -> bool:
    """Whether every op takes these sizes, and none of the symbolic ones becomes 0 or less."""
    if any(_number(size, env) < 1 for entry in graph.inputs for size in _symbolic(entry.type)):
        return False
    return all(_node_fits(node, env) for node in graph.nodes)


def _node_fits(node: Node, env: Sizes) -> bool:
    symbolic = [size for value in node.outputs for size in _symbolic(value.type)]
    if any(_number(size, env) < 1 for size in symbolic):
        return False
    operands = tuple(None if v is None else v.type.substitute(env) for v in node.inputs)
    try:
        infer_types(node.op.bind(env), operands)
    except ShapeError:
        return False
    return True


def _symbolic(type: TensorType) -> list[Dim]:
    return [size for size in type.shape if isinstance(size, Dim)]


def _number(size: Size, env: Mapping[str, int]) -> int:
    return int(substitute(size, env))


def draw_inputs(graph: Graph, env: Sizes, seed: int) -> dict[str, Array]:
    """Inputs for `graph`, the same for the same seed.

    Floats are normal, the samples of a batch with standard deviations of 0.1, 1 and 3 in turn: one
    leaves a softmax unsaturated, another passes a threshold. Integers are from 0 to 8. What
    becomes indices or classes are integers below their number, floats among them as well. Bools
    are even. Strings, and integers that are looked up, come from the vocabulary and elsewhere.
    """
    limits = _index_limits(graph, env)
    vocabularies = find_vocabularies(graph)
    rng = np.random.default_rng([seed, *(number for _, number in sorted(env.items()))])
    batches = batch_symbols(graph)
    return {
        entry.name: _draw(
            entry,
            [_number(size, env) for size in entry.type.shape],
            rng,
            bool(entry.type.rank) and str(entry.type.shape[0]) in batches,
            limits.get(entry.name),
            vocabularies.get(entry.name),
        )
        for entry in graph.inputs
    }


def _draw(
    entry: Input,
    shape: list[int],
    rng: np.random.Generator,
    batched: bool,
    limit: int | None,
    vocabulary: Vocabulary | None,
) -> np.ndarray[Any, Any]:
    dtype = entry.type.dtype
    if dtype is DType.STRING:
        return draw_texts(vocabulary or Vocabulary(), shape, rng)
    if vocabulary is not None and dtype.is_integer:
        return draw_keys(vocabulary, shape, dtype, rng)
    if dtype.is_floating and limit is None:
        numbers = rng.standard_normal(shape)
        if batched:
            scales = np.resize(SCALES[min(shape[0], max(SCALES))], shape[0])
            numbers *= scales.reshape(-1, *(1 for _ in shape[1:]))
        return numbers.astype(dtype.numpy)
    below = 2 if dtype is DType.BOOL else limit or INTEGERS
    if dtype.is_floating:
        below = min(below, EXACT_IN_FLOATS)
    return rng.integers(0, below, shape).astype(dtype.numpy)


def _index_limits(graph: Graph, env: Sizes) -> dict[str, int]:
    """By name of a value, the number that its elements must stay below: they index an axis."""
    limits: dict[str, int] = {}

    def limit(name: str, number: int) -> None:
        limits[name] = max(1, min(number, limits.get(name, number)))

    for node in reversed(graph.nodes):
        if isinstance(node.op, Gather):
            x, indices = node.inputs
            assert x is not None and indices is not None
            limit(indices.name, _number(x.type.shape[node.op.axis], env))
        elif isinstance(node.op, OneHot):
            (indices,) = node.inputs
            assert indices is not None
            limit(indices.name, node.op.depth)
        elif isinstance(node.op, _MOVES) and node.output.name in limits:
            for value in node.inputs:
                if value is not None:
                    limit(value.name, limits[node.output.name])
    return limits
