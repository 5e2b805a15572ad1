"""Patterns over nodes, and rules that rewrite what they match.

    @rule(P(Log, P(Softmax, ANY("x"), name="softmax")))
    def log_of_softmax(match: Match) -> Value:
        '''`log(softmax(x)) = log_softmax(x)`.'''
        return match.emit(LogSoftmax(match.node("softmax").op.axis), match.value("x"))

A pattern is a tree: its root is the node that a rule replaces, its leaves are values. Values
between the two must have no other use, unless the pattern says `shared=True`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Op
from kcompile.passes.journal import Refusal, record_change, record_refusal
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

MAX_ROUNDS = 50
_Op = TypeVar("_Op", bound=Op)


class Refused(Exception):
    """Raised by a rewrite that fits by form but is not allowed; the message says why."""


@dataclass(frozen=True)
class ANY:
    """Any value. The same name twice in a pattern stands for the same value."""

    name: str
    optional: bool = False

    def accepts(self, value: Value, new: Rebuild) -> bool:
        return True


@dataclass(frozen=True)
class CONSTANT(ANY):
    """A value that depends on constants only."""

    def accepts(self, value: Value, new: Rebuild) -> bool:
        return new.is_known(value)


class P:
    """A node with one of some ops on operands that match.

    Args:
        op: the op class, or a tuple of them.
        operands: a pattern for each operand; none at all accept any operands.
        name: under which the match has the node.
        where: guard on the op's attributes.
        commutative: the first two operands may also come the other way round.
        shared: as an interior node, its value may have other uses.
    """

    def __init__(
        self,
        op: type[Op] | tuple[type[Op], ...],
        *operands: Pattern,
        name: str = "",
        where: Callable[[Any], bool] | None = None,
        commutative: bool = False,
        shared: bool = False,
    ) -> None:
        self.ops = op if isinstance(op, tuple) else (op,)
        self.operands = operands
        self.name = name
        self.where = where
        self.commutative = commutative
        self.shared = shared


Pattern = P | ANY


@dataclass
class Match:
    """Where a pattern was found.

    Attributes:
        root: the node that the rule replaces.
        new: the graph under construction.
    """

    root: Node
    new: Rebuild
    values: dict[str, Value | None] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    shared: list[Value] = field(default_factory=list)

    def value(self, name: str) -> Value:
        """The value of a leaf that is not optional."""
        value = self.values[name]
        if value is None:
            raise KeyError(name)
        return value

    def optional(self, name: str) -> Value | None:
        """The value of an optional leaf."""
        return self.values[name]

    def node(self, name: str) -> Node:
        """A node that the pattern names."""
        return self.nodes[name]

    def op(self, name: str, kind: type[_Op]) -> _Op:
        """The op of a node that the pattern names, which is of that kind."""
        op = self.nodes[name].op
        if not isinstance(op, kind):
            raise TypeError(f"{name} is {op.name}, not {kind.name}")
        return op

    def emit(
        self, op: Op, *operands: Value | None, name: str | None = None, source: str | None = None
    ) -> Value:
        """The first result of `op`, which comes from the root's layer if `source` is not given."""
        source = self.root.source if source is None else source
        return self.new.emit(op, *operands, name=name, source=source)[0]

    def _branch(self) -> Match:
        return Match(self.root, self.new, {**self.values}, {**self.nodes}, [*self.shared])

    def _take(self, other: Match) -> None:
        self.values, self.nodes, self.shared = other.values, other.nodes, other.shared


@dataclass(frozen=True)
class Rule:
    """A rewrite of the nodes that match a pattern.

    Attributes:
        rewrite: gives the value that replaces the root's, or None where the rule does not apply;
            raises `Refused` where it fits by form but is not allowed.
        equation: what holds between the two sides.
    """

    name: str
    pattern: P
    rewrite: Callable[[Match], Value | None]
    equation: str


def rule(pattern: P) -> Callable[[Callable[[Match], Value | None]], Rule]:
    """Makes a rule of a function; its docstring is the equation."""

    def make(rewrite: Callable[[Match], Value | None]) -> Rule:
        if not rewrite.__doc__:
            raise TypeError(f"the rule {rewrite.__name__} needs its equation as docstring")
        return Rule(rewrite.__name__, pattern, rewrite, rewrite.__doc__)

    return make


def apply_rules(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """`graph` after every rule was applied wherever it can be.

    Raises:
        VerifyError: the rules undo each other without end.
    """
    by_root: dict[type[Op], list[Rule]] = {}
    for entry in rules:
        for op in entry.pattern.ops:
            by_root.setdefault(op, []).append(entry)
    refusals: list[Refusal] = []

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        return _rewrite(node, operands, new, by_root, refusals)

    for _ in range(MAX_ROUNDS):
        refusals.clear()
        if not any(type(node.op) in by_root for node in graph.nodes):
            break
        after = rebuild(graph, transform)
        if after is graph:
            break
        graph = after
    else:
        names = ", ".join(entry.name for entry in rules)
        raise VerifyError(f"the rules {names} do not come to an end in {MAX_ROUNDS} rounds")
    for refusal in refusals:
        record_refusal(refusal)
    return graph


def _rewrite(
    node: Node,
    operands: Operands,
    new: Rebuild,
    by_root: dict[type[Op], list[Rule]],
    refusals: list[Refusal],
) -> tuple[Value, ...] | None:
    """The results for `node` once no rule matches any more."""
    if type(node.op) not in by_root:
        return None
    results = new.keep(node, operands)
    for _ in range(MAX_ROUNDS):
        root = new.producer(results[0])
        # A node that is used already was made, and tried, earlier in the walk.
        if root is None or any(map(new.num_uses, root.outputs)):
            break
        value = _first_rewrite(root, new, by_root.get(type(root.op), ()), refusals)
        if value is None:
            break
        results = (value,)
        # The old root has no use any more; without it the next match sees the true number of uses.
        new.hold(value)
        new.sweep()
        new.release(value)
    return results


def _first_rewrite(
    root: Node, new: Rebuild, rules: Sequence[Rule], refusals: list[Refusal]
) -> Value | None:
    for entry in rules:
        match = Match(root, new)
        if not _match_node(entry.pattern, root, match):
            continue
        try:
            if match.shared:
                raise Refused(f"%{match.shared[0].name} has other uses")
            value = entry.rewrite(match)
        except Refused as refused:
            refusals.append(Refusal(entry.name, root.outputs[0].name, str(refused)))
            continue
        if value is not None:
            record_change(entry.name)
            return value
    return None


def _match_node(pattern: P, node: Node, match: Match) -> bool:
    if type(node.op) not in pattern.ops:
        return False
    if pattern.where is not None and not pattern.where(node.op):
        return False
    if pattern.name:
        match.nodes[pattern.name] = node
    if not pattern.operands:
        return True
    if len(node.inputs) > len(pattern.operands):
        return False
    orders = [pattern.operands]
    if pattern.commutative:
        first, second, *rest = pattern.operands
        orders.append((second, first, *rest))
    for order in orders:
        attempt = match._branch()
        pairs = itertools.zip_longest(order, node.inputs)
        if all(_match_value(operand, value, attempt) for operand, value in pairs):
            match._take(attempt)
            return True
    return False


def _match_value(pattern: Pattern, value: Value | None, match: Match) -> bool:
    if isinstance(pattern, ANY):
        if value is None:
            match.values[pattern.name] = None
            return pattern.optional
        known = match.values.setdefault(pattern.name, value)
        return known == value and pattern.accepts(value, match.new)
    node = match.new.producer(value)
    if value is None or node is None or not _match_node(pattern, node, match):
        return False
    if not pattern.shared and match.new.num_uses(value) > 1:
        match.shared.append(value)
    return True
