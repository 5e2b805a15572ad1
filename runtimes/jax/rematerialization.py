"""Which values a training step computes again in the backward pass instead of keeping them.

A graph is cut into segments. What a segment makes inside is computed again, from what it reads,
when the backward pass comes to it, so that only the ends of segments are kept (Chen et al.,
"Training Deep Nets with Sublinear Memory Cost", 2016, arXiv:1604.06174).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kcompile.ir.dims import substitute, symbols_of
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Node, Value

#: Nothing, whatever pays by the sizes of the graph's values, or the layers of these paths.
Policy = bool | Sequence[str] | None

#: How many sizes of segments are tried, each 1.3 times the one before.
_NUM_TRIES = 40
_GROWTH = 1.3


@dataclass(frozen=True)
class Segment:
    """Nodes that follow each other.

    Attributes:
        nodes: in the order of computation.
        inputs: names of the values that they read and do not make.
        outputs: names of the values that they make and others read.
        is_recomputed: whether what it makes besides is computed again.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_recomputed: bool


def plan(graph: Graph, policy: Policy) -> tuple[Segment, ...]:
    """The segments of a graph, in order; none if nothing is computed again.

    Raises:
        SpecError: the policy names a layer that the graph has nothing of.
    """
    if policy is None or policy is False:
        return ()
    if policy is True:
        cuts = _best_cuts(graph)
        bounds = list(itertools.pairwise([0, *cuts, len(graph.nodes)]))
        # The backward pass begins with the last one, whose values are still there.
        parts = [(begin, end, end < len(graph.nodes)) for begin, end in bounds]
    else:
        parts = list(_runs_of_layers(graph, policy))
    return tuple(_segments(graph, parts))


def _segments(graph: Graph, parts: Sequence[tuple[int, int, bool]]) -> Iterator[Segment]:
    last_use = _last_uses(graph)
    for begin, end, is_recomputed in parts:
        nodes = graph.nodes[begin:end]
        made = [value.name for node in nodes for value in node.outputs]
        own = set(made)
        read = [v.name for node in nodes for v in node.inputs if v is not None]
        yield Segment(
            nodes,
            tuple(dict.fromkeys(name for name in read if name not in own)),
            tuple(name for name in made if last_use.get(name, -1) >= end),
            is_recomputed,
        )


def _last_uses(graph: Graph) -> dict[str, int]:
    """The number of the last node that reads each value; results are read after all nodes."""
    last: dict[str, int] = {}
    for number, node in enumerate(graph.nodes):
        last.update((value.name, number) for value in node.inputs if value is not None)
    results = [output.value for output in graph.outputs]
    results += [update.value for update in graph.updates]
    return {**last, **{value.name: len(graph.nodes) for value in results}}


def _runs_of_layers(graph: Graph, names: Sequence[str]) -> Iterator[tuple[int, int, bool]]:
    """The nodes of each of the layers, as far as they follow each other, and those between."""

    def layer_of(node: Node) -> str | None:
        found = (name for name in names if f"{node.source}/".startswith(f"{name}/"))
        return next(found, None)

    layers = [layer_of(node) for node in graph.nodes]
    unknown = [name for name in names if name not in layers]
    if unknown:
        known = dict.fromkeys(node.source.split("/")[0] for node in graph.nodes if node.source)
        raise SpecError(
            f"remat names the layer '{unknown[0]}', of which the training step has nothing",
            hint=f"It has {', '.join(known)}",
        )
    begin = 0
    for layer, run in itertools.groupby(layers):
        end = begin + len(list(run))
        yield begin, end, layer is not None
        begin = end


def _best_cuts(graph: Graph) -> list[int]:
    """The numbers of the nodes before which to cut, so that the least is kept at any time.

    What is kept is what crosses the cuts, and what the largest segment makes inside.
    """
    made = [sum(map(_num_bytes, node.outputs)) for node in graph.nodes]
    last_use = _last_uses(graph)
    crossing = _crossing(graph, made, last_use)
    best: list[int] = []
    least = sum(made)
    limit = float(max(made, default=0))
    for _ in range(_NUM_TRIES):
        cuts = _cuts_for(limit, made, crossing)
        if not cuts:
            break
        needed = _kept_bytes(graph, cuts, made, last_use)
        if needed < least:
            best, least = cuts, needed
        limit *= _GROWTH
    return best


def _crossing(graph: Graph, made: Sequence[int], last_use: Mapping[str, int]) -> list[int]:
    """Bytes that are made before each node and read by it or after it."""
    changes = [0] * (len(made) + 2)
    for number, node in enumerate(graph.nodes):
        for value in node.outputs:
            changes[number + 1] += _num_bytes(value)
            changes[max(last_use.get(value.name, number), number) + 1] -= _num_bytes(value)
    return list(itertools.accumulate(changes))


def _cuts_for(limit: float, made: Sequence[int], crossing: Sequence[int]) -> list[int]:
    """Cuts with at most about `limit` bytes between them, where the least crosses."""
    cuts: list[int] = []
    begin = inside = 0
    for number, size in enumerate(made):
        inside += size
        if inside <= limit or number <= begin:
            continue
        # Not in the first half: segments would become small for a little less at their ends.
        first = begin + max(1, (number - begin) // 2)
        begin = min(range(first, number + 1), key=lambda place: (crossing[place], -place))
        cuts.append(begin)
        inside = sum(made[begin : number + 1])
    return cuts


def _kept_bytes(
    graph: Graph, cuts: Sequence[int], made: Sequence[int], last_use: Mapping[str, int]
) -> int:
    bounds = list(itertools.pairwise([0, *cuts, len(made)]))
    kept = sum(
        _num_bytes(value)
        for begin, end in bounds
        for node in graph.nodes[begin:end]
        for value in node.outputs
        if last_use.get(value.name, -1) >= end
    )
    return kept + max(sum(made[begin:end]) for begin, end in bounds)


def _num_bytes(value: Value) -> int:
    """The size for one row of a batch: symbolic sizes are 1."""
    elements = 1
    for size in value.type.shape:
        number = substitute(size, dict.fromkeys(symbols_of(size), 1))
        elements *= max(0, int(number))
    return elements * value.type.dtype.numpy.itemsize
