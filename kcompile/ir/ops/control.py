"""Loops and branches: ops with sub-graphs.

A sub-graph is closed. It has DATA inputs only, one for each operand, and what it uses from outside
are operands. Its symbols are those of the graph around it, and some input of its own determines
each of them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import ShapeError, VerifyError
from kcompile.ir.graph import Graph, Input, Node, Role
from kcompile.ir.op import Array, Op, evaluate, require
from kcompile.ir.types import DType, TensorType, require_same_size

T = TypeVar("T")

_BOOL = TensorType(DType.BOOL, ())


class _Control(Op):
    """What ops with sub-graphs share. They run when the model runs: a loop may be long."""

    is_foldable = False

    @property
    def graphs(self) -> dict[str, Graph]:
        """The sub-graphs by attribute."""
        attributes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in attributes.items() if isinstance(value, Graph)}

    @functools.cached_property
    def symbols(self) -> frozenset[str]:
        return frozenset().union(*(graph.symbols for graph in self.graphs.values()))

    def bind(self, env: Mapping[str, Size]) -> Op:
        if self.symbols.isdisjoint(env):
            return self
        try:
            bound = {name: graph.bind(env) for name, graph in self.graphs.items()}
        except VerifyError as error:
            raise ShapeError(str(error)) from error
        return dataclasses.replace(self, **bound)  # type: ignore[type-var]


@dataclass(frozen=True)
class Scan(_Control):
    """`carry[t + 1], y[t] = body(carry[t], x[t], constants)` for each t; ys are stacked.

    Operands: `num_carries` initial carries, `num_sequences` x `[T, ...]`, constants. The body takes
    carries, elements of the x, and constants; it returns the next carries and y `[...]`. Results:
    the last carries, and y `[T, ...]`. `reverse` begins with the last x; its y is the last y.
    """

    body: Graph
    num_carries: int
    num_sequences: int
    reverse: bool = False

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        carries, sequences, _ = self.split(operands)
        require(bool(sequences), "needs a sequence, which gives the number of steps")
        length = _length(sequences)
        given = list(operands)
        for position, sequence in enumerate(sequences, self.num_carries):
            given[position] = sequence.with_shape(sequence.shape[1:])
        _check_graph(self.body, given, "body")
        results = _result_types(self.body)
        require(
            len(results) >= len(carries), "the body returns fewer values than there are carries"
        )
        _check_types(results[: len(carries)], carries, "the carry of the body")
        stacked = (type.with_shape((length, *type.shape)) for type in results[len(carries) :])
        return (*carries, *stacked)

    def split(self, operands: Sequence[T]) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
        """The operands as carries, sequences and constants."""
        end = self.num_carries + self.num_sequences
        first = self.num_carries
        return tuple(operands[:first]), tuple(operands[first:end]), tuple(operands[end:])

    def reference(self, *operands: Array) -> tuple[Array, ...]:
        carries, sequences, constants = self.split(operands)
        length = sequences[0].shape[0]
        ys: list[tuple[Array, ...]] = [()] * length
        for t in reversed(range(length)) if self.reverse else range(length):
            elements = tuple(x[t] for x in sequences)
            results = run_graph(self.body, (*carries, *elements, *constants))
            carries, ys[t] = results[: self.num_carries], results[self.num_carries :]
        types = _result_types(self.body)[self.num_carries :]
        stacked = (
            np.stack([y[i] for y in ys]) if ys else np.zeros((0, *type.shape), type.dtype.numpy)
            for i, type in enumerate(types)
        )
        return (*carries, *stacked)


@dataclass(frozen=True)
class While(_Control):
    """`carries = body(carries, constants)` as long as `condition(carries, constants)` holds.

    Operands: initial carries, as many as the body returns, and constants. Both graphs take all of
    them; the condition returns one bool. Results: the last carries.
    """

    condition: Graph
    body: Graph

    @property
    def num_carries(self) -> int:
        return len(self.body.outputs)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        _check_graph(self.condition, operands, "condition")
        _check_graph(self.body, operands, "body")
        require(_result_types(self.condition) == (_BOOL,), "the condition must return one bool[]")
        require(self.num_carries <= len(operands), "the body returns more than it is given")
        carries = operands[: self.num_carries]
        _check_types(_result_types(self.body), carries, "the carry of the body")
        return tuple(carries)

    def reference(self, *operands: Array) -> tuple[Array, ...]:
        carries, constants = operands[: self.num_carries], operands[self.num_carries :]
        while run_graph(self.condition, (*carries, *constants))[0]:
            carries = run_graph(self.body, (*carries, *constants))
        return carries


@dataclass(frozen=True)
class If(_Control):
    """`then(operands)` if the predicate `bool[]` holds, else `otherwise(operands)`.

    Both graphs take all operands behind the predicate and return values of the same types.
    """

    then: Graph
    otherwise: Graph

    def infer(self, predicate: TensorType, *operands: TensorType) -> tuple[TensorType, ...]:
        require(predicate == _BOOL, f"the predicate must be {_BOOL}")
        _check_graph(self.then, operands, "then")
        _check_graph(self.otherwise, operands, "otherwise")
        types = _result_types(self.then)
        others = _result_types(self.otherwise)
        require(len(types) == len(others), f"the branches return {len(types)} and {len(others)}")
        _check_types(others, types, "the result of the other branch")
        return types

    def reference(self, predicate: Array, *operands: Array) -> tuple[Array, ...]:
        return run_graph(self.then if predicate else self.otherwise, operands)


def run_graph(graph: Graph, operands: Sequence[Array]) -> tuple[Array, ...]:
    """The outputs of a sub-graph without symbols, by the references of its ops."""
    values = {entry.name: x for entry, x in zip(graph.inputs, operands, strict=True)}
    for node in graph.nodes:
        given = tuple(None if value is None else values[value.name] for value in node.inputs)
        results = evaluate(node.op, given)
        values.update(zip((value.name for value in node.outputs), results, strict=True))
    return tuple(values[output.value.name] for output in graph.outputs)


def graphs_of(op: Op) -> tuple[Graph, ...]:
    """The sub-graphs of an op; most ops have none."""
    return tuple(op.graphs.values()) if isinstance(op, _Control) else ()


def all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph, and of the sub-graphs of each after it."""
    for node in graph.nodes:
        yield node
        for inside in graphs_of(node.op):
            yield from all_nodes(inside)


def loose_symbols(nodes: Iterable[Node], inputs: Iterable[Input]) -> frozenset[str]:
    """The symbols that occur in a graph and that no input of it determines."""
    types = [entry.type for entry in inputs]
    sizes = [size for type in types for size in type.shape if isinstance(size, Dim)]
    used = set[str]().union(*(type.symbols for type in types))
    for node in nodes:
        used |= node.op.symbols.union(*(value.type.symbols for value in node.outputs))
    return frozenset(used) - {str(size) for size in sizes if size.is_symbol}


def with_graphs(op: Op, graphs: Sequence[Graph]) -> Op:
    """`op` with other sub-graphs, in the order of `graphs_of`; `op` itself if they are the same."""
    if not isinstance(op, _Control) or all(map(_is, graphs, op.graphs.values())):
        return op
    return dataclasses.replace(op, **dict(zip(op.graphs, graphs, strict=True)))  # type: ignore[type-var]


def _is(left: object, right: object) -> bool:
    return left is right


def _result_types(graph: Graph) -> tuple[TensorType, ...]:
    return tuple(output.value.type for output in graph.outputs)


def _length(sequences: Sequence[TensorType]) -> Size:
    require(all(x.rank > 0 for x in sequences), "a sequence needs an axis of steps")
    first = sequences[0].shape[0]
    for other in sequences[1:]:
        size = other.shape[0]
        require_same_size(first, size, f"the sequences have {first} and {size} steps")
    return first


def _check_graph(graph: Graph, operands: Sequence[TensorType], what: str) -> None:
    require(not graph.updates, f"the {what} has updates of states")
    require(
        all(entry.role is Role.DATA for entry in graph.inputs), f"the {what} has inputs with roles"
    )
    count = len(graph.inputs)
    require(count == len(operands), f"the {what} takes {count} values, not {len(operands)}")
    _check_types([entry.type for entry in graph.inputs], operands, f"the input of the {what}")


def _check_types(found: Sequence[TensorType], expected: Sequence[TensorType], what: str) -> None:
    for position, (left, right) in enumerate(zip(found, expected, strict=True)):
        message = f"{what} at {position} is {left} and must be {right}"
        require(left.dtype is right.dtype and left.rank == right.rank, message)
        for one, other in zip(left.shape, right.shape, strict=True):
            require_same_size(one, other, message)
