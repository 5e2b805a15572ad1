"""Graphs: immutable, typed, and correct from the moment they are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from kcompile.ir.dims import Size
from kcompile.ir.op import Op
from kcompile.ir.types import TensorType


class Role(Enum):
    """What an input of a graph is for."""

    DATA = "data"
    PARAM = "param"
    STATE = "state"
    RNG = "rng"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Value:
    """A tensor in a graph: its name, unique there, and its type."""

    name: str
    type: TensorType

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return f"%{self.name} : {self.type}"


@dataclass(frozen=True)
class Input:
    """A value that is given to the graph, and its role."""

    value: Value
    role: Role

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def type(self) -> TensorType:
        return self.value.type


@dataclass(frozen=True)
class Node:
    """One application of an op.

    Attributes:
        op: the op with its attributes.
        inputs: the operands; None stands for an optional operand that is left out.
        outputs: the results.
        source: path of the layer that it comes from (`encoder/attention/query`), or "".
    """

    op: Op
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    source: str = ""
    #: Set by the verifier once the results are known to be what the op infers, which cannot change.
    is_typed: bool = field(default=False, init=False, compare=False, repr=False)

    @property
    def output(self) -> Value:
        """The only result."""
        (value,) = self.outputs
        return value


@dataclass(frozen=True)
class Output:
    """A value that the graph returns, under a name of its own."""

    name: str
    value: Value


@dataclass(frozen=True)
class Update:
    """The next value of a STATE input."""

    state: Value
    value: Value


@dataclass(frozen=True)
class Graph:
    """A pure function from inputs to outputs and next states.

    Attributes:
        name: the model's name.
        inputs: the inputs with their roles, in calling order.
        nodes: in an order in which every operand is made before it is used.
        outputs: what the graph returns, in order.
        updates: next values of STATE inputs; a state without one keeps its value.

    Raises:
        VerifyError: an invariant of the IR does not hold (see `kcompile.ir.verifier`).
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    updates: tuple[Update, ...] = ()

    def __post_init__(self) -> None:
        from kcompile.ir.verifier import verify

        verify(self)

    def __str__(self) -> str:
        from kcompile.ir.printer import print_graph

        return print_graph(self)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.inputs)} inputs, {len(self.nodes)} nodes)"

    def inputs_with(self, *roles: Role) -> tuple[Input, ...]:
        """The inputs that have one of `roles`, in order."""
        return tuple(entry for entry in self.inputs if entry.role in roles)

    def bind(self, env: Mapping[str, Size]) -> Graph:
        """This graph with symbols replaced, in types and in attributes."""

        def bound(value: Value) -> Value:
            return Value(value.name, value.type.substitute(env))

        return Graph(
            self.name,
            tuple(Input(bound(entry.value), entry.role) for entry in self.inputs),
            tuple(
                Node(
                    node.op.bind(env),
                    tuple(None if value is None else bound(value) for value in node.inputs),
                    tuple(map(bound, node.outputs)),
                    node.source,
                )
                for node in self.nodes
            ),
            tuple(Output(output.name, bound(output.value)) for output in self.outputs),
            tuple(Update(bound(update.state), bound(update.value)) for update in self.updates),
        )

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each value, by the value's name; inputs are not in it."""
        return {value.name: node for node in self.nodes for value in node.outputs}

    @cached_property
    def uses(self) -> Mapping[str, int]:
        """How often each value is used, by nodes, outputs and updates."""
        counts = Counter(
            value.name for node in self.nodes for value in node.inputs if value is not None
        )
        counts.update(output.value.name for output in self.outputs)
        counts.update(update.value.name for update in self.updates)
        return counts

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbolic sizes, sorted."""
        return tuple(sorted(frozenset().union(*(entry.type.symbols for entry in self.inputs))))


#: Names that the text form writes without quotes.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/\-]+\Z")
