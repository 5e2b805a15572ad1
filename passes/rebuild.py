"""Rebuilding: one walk over a graph that makes another one.

Unlike a `Builder`, a `Rebuild` knows at every moment how often each value will be used, so that
rules can tell whether an interior value has another use; a node that lost its last use is gone at
once; kept nodes keep their names, and new ones get the names that they wish for if no node of the
finished graph has them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from kcompile.ir.graph import Graph, Input, Node, Output, Role, Update, Value
from kcompile.ir.literal import Literal
from kcompile.ir.op import Op, infer_types
from kcompile.ir.ops import Constant
from kcompile.ir.types import TensorType

Operands = tuple[Value | None, ...]
#: New results for a node of the old graph, whose operands are given in the new one; None keeps it.
Transform = Callable[[Node, Operands, "Rebuild"], tuple[Value, ...] | None]
#: The new value for an input, or None to keep the input.
ReplaceInput = Callable[[Input, "Rebuild"], Value | None]


class Rebuild:
    """The new graph while the walk over the old one goes on."""

    def __init__(self, graph: Graph) -> None:
        self._nodes: dict[str, Node] = {}  # by the name of the first result, in order
        self._inputs: list[Input] = []
        self._producers: dict[str, Node] = {}
        self._made: dict[tuple[Op, tuple[str | None, ...]], Node] = {}
        self._known: set[str] = set()  # values of constants only
        self._fixed: set[str] = set()  # values of constants and weights only
        self._wishes: dict[str, str] = {}  # names of new values -> names that they wish for
        self._taken = {value.name for node in graph.nodes for value in node.outputs}
        self._taken |= {entry.name for entry in graph.inputs}
        self._emitted_uses: dict[str, int] = defaultdict(int)
        self._pending_uses: dict[str, int] = defaultdict(int)
        self._suspects: list[Node] = []  # nodes that may have no use

    # Reading what is there so far

    def producer(self, value: Value | None) -> Node | None:
        """The node that makes `value`; None for an input or a missing operand."""
        return self._producers.get(value.name) if value is not None else None

    def num_uses(self, value: Value) -> int:
        """How often `value` is used, by nodes that are made and by those still to come."""
        return self._emitted_uses[value.name] + self._pending_uses[value.name]

    def num_emitted_uses(self, value: Value) -> int:
        """How often nodes that are made use `value`."""
        return self._emitted_uses[value.name]

    def is_known(self, value: Value | None) -> bool:
        """Whether `value` depends on constants only, so that `fold_constants` can compute it."""
        return value is not None and value.name in self._known

    def is_fixed(self, value: Value) -> bool:
        """Whether `value` depends on constants and weights only: it is one tensor for all data."""
        return value.name in self._fixed

    def find(self, op: Op, *operands: Value | None) -> Node | None:
        """The node with this op and these operands, if there is one."""
        return self._made.get((op, _names(operands)))

    # Making nodes

    def emit(
        self, op: Op, *operands: Value | None, name: str | None = None, source: str = ""
    ) -> tuple[Value, ...]:
        """The results of `op` on `operands`, which are values of the new graph.

        Args:
            op: the op with its attributes.
            operands: None stands for an optional one that is left out.
            name: wish for the results' names; `source:op` otherwise. The name of another new
                value stands for what that one wishes for.
            source: path of the layer that this comes from.

        Raises:
            ShapeError: the operands do not fit.
        """
        while operands and operands[-1] is None:
            operands = operands[:-1]
        made = self._made.get((op, _names(operands)))
        if made is not None:
            return made.outputs
        wish = name or (f"{source}:{op.name}" if source else op.name)
        wish = self._wishes.get(wish, wish)
        outputs = tuple(Value(self._provisional(wish), type) for type in _infer(op, operands))
        self._add(Node(op, operands, outputs, source))
        return outputs

    def constant(self, array: Any, name: str | None = None) -> Value:
        """A constant with the array's values."""
        return self.emit(Constant(Literal(array)), name=name)[0]

    def keep(self, node: Node, operands: Operands, op: Op | None = None) -> tuple[Value, ...]:
        """The results of a node of the old graph on new operands, under their old names."""
        op = node.op if op is None else op
        made = self._made.get((op, _names(operands)))
        if made is not None:
            return made.outputs
        if op is not node.op or operands != node.inputs:
            types = tuple(value.type for value in node.outputs)
            if op is not node.op or _types(operands) != _types(node.inputs):
                types = _infer(op, operands)
            outputs = tuple(
                Value(value.name, type) for value, type in zip(node.outputs, types, strict=True)
            )
            node = Node(op, operands, outputs, node.source)
        self._add(node)
        return node.outputs

    def input(self, entry: Input) -> Value:
        """An input of the new graph."""
        self._inputs.append(entry)
        if entry.role in (Role.PARAM, Role.STATE):
            self._fixed.add(entry.name)
        return entry.value

    def _add(self, node: Node) -> None:
        self._nodes[node.outputs[0].name] = node
        self._made[node.op, _names(node.inputs)] = node
        for value in node.outputs:
            self._producers[value.name] = node
        operands = [value.name for value in node.inputs if value is not None]
        for operand in operands:
            self._emitted_uses[operand] += 1
        if node.op.is_foldable and self._fixed.issuperset(operands) and not node.op.symbols:
            results = [value.name for value in node.outputs]
            self._fixed.update(results)
            if self._known.issuperset(operands):
                self._known.update(results)
        self._suspects.append(node)

    def _provisional(self, wish: str) -> str:
        name = f"{wish}~{len(self._wishes)}"
        while name in self._taken:
            name += "~"
        self._taken.add(name)
        self._wishes[name] = wish
        return name

    # Counting uses

    def hold(self, value: Value, num_uses: int = 1) -> None:
        """Count uses of `value` by nodes still to come, outputs or updates."""
        self._pending_uses[value.name] += num_uses

    def release(self, value: Value) -> None:
        """Take back one use that was held."""
        self._pending_uses[value.name] -= 1
        self._suspect(value)

    def sweep(self) -> None:
        """Remove the nodes that nothing uses any more."""
        while self._suspects:
            node = self._suspects.pop()
            name = node.outputs[0].name
            if self._nodes.get(name) is not node or any(map(self.num_uses, node.outputs)):
                continue
            del self._nodes[name], self._made[node.op, _names(node.inputs)]
            for value in node.outputs:
                del self._producers[value.name]
            for operand in node.inputs:
                if operand is not None:
                    self._emitted_uses[operand.name] -= 1
                    self._suspect(operand)

    def _suspect(self, value: Value) -> None:
        node = self._producers.get(value.name)
        if node is not None and not self.num_uses(value):
            self._suspects.append(node)

    # Finishing

    def finish(
        self, graph: Graph, outputs: tuple[Output, ...], updates: tuple[Update, ...]
    ) -> Graph:
        """The new graph; `graph` itself when nothing is different."""
        inputs = tuple(
            entry
            for entry in self._inputs
            if entry.role is Role.DATA or self.num_uses(entry.value) or _updates(entry, updates)
        )
        nodes = list(self._nodes.values())
        same_nodes = len(nodes) == len(graph.nodes) and all(map(_is, nodes, graph.nodes))
        same_ends = (inputs, outputs, updates) == (graph.inputs, graph.outputs, graph.updates)
        if same_nodes and same_ends:
            return graph
        final = self._final_names(inputs)

        def named(value: Value) -> Value:
            return Value(final[value.name], value.type) if value.name in final else value

        return Graph(
            graph.name,
            inputs,
            tuple(_rename(node, final, named) for node in nodes),
            tuple(Output(output.name, named(output.value)) for output in outputs),
            tuple(Update(update.state, named(update.value)) for update in updates),
        )

    def _final_names(self, inputs: tuple[Input, ...]) -> dict[str, str]:
        """Names for the new values: what they wish for, with a number if that is taken."""
        made = [value.name for node in self._nodes.values() for value in node.outputs]
        taken = {entry.name for entry in inputs}
        taken.update(name for name in made if name not in self._wishes)
        final: dict[str, str] = {}
        suffixes: dict[str, int] = defaultdict(int)
        for name in made:
            if name not in self._wishes:
                continue
            wish = choice = self._wishes[name]
            while choice in taken:
                suffixes[wish] += 1
                choice = f"{wish}_{suffixes[wish]}"
            taken.add(choice)
            final[name] = choice
        return final


def rebuild(
    graph: Graph,
    transform: Transform | None = None,
    *,
    replace_input: ReplaceInput | None = None,
    keep_updates: bool = True,
) -> Graph:
    """`graph` with each node as `transform` wants it; equal and unused nodes are dropped.

    Returns `graph` itself when nothing is different.
    """
    new = Rebuild(graph)
    values: dict[str, Value] = {}
    old_updates = graph.updates if keep_updates else ()
    dropped = Counter(update.value.name for update in graph.updates if not keep_updates)

    def enter(old: Value, value: Value) -> None:
        values[old.name] = value
        new.hold(value, graph.uses.get(old.name, 0) - dropped[old.name])

    for entry in graph.inputs:
        replaced = replace_input(entry, new) if replace_input is not None else None
        enter(entry.value, new.input(entry) if replaced is None else replaced)
    new.sweep()
    for node in graph.nodes:
        operands = tuple([values[v.name] if v is not None else None for v in node.inputs])
        for operand in operands:
            if operand is not None:
                new.release(operand)
        results = transform(node, operands, new) if transform is not None else None
        if results is None:
            results = new.keep(node, operands)
        for old, value in zip(node.outputs, results, strict=True):
            enter(old, value)
        new.sweep()
    return new.finish(
        graph,
        tuple(Output(output.name, values[output.value.name]) for output in graph.outputs),
        tuple(Update(values[u.state.name], values[u.value.name]) for u in old_updates),
    )


def _names(operands: Operands) -> tuple[str | None, ...]:
    return tuple([value.name if value is not None else None for value in operands])


def _types(operands: Operands) -> tuple[TensorType | None, ...]:
    return tuple([value.type if value is not None else None for value in operands])


def _infer(op: Op, operands: Operands) -> tuple[TensorType, ...]:
    return infer_types(op, _types(operands))


def _is(left: object, right: object) -> bool:
    return left is right


def _updates(entry: Input, updates: Sequence[Update]) -> bool:
    return entry.role is Role.STATE and any(u.state.name == entry.name for u in updates)


def _rename(node: Node, final: dict[str, str], named: Callable[[Value], Value]) -> Node:
    for value in (*node.inputs, *node.outputs):
        if value is not None and value.name in final:
            inputs = tuple(named(v) if v is not None else None for v in node.inputs)
            return Node(node.op, inputs, tuple(map(named, node.outputs)), node.source)
    return node
