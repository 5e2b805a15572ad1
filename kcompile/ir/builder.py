"""Builders: the way graphs are made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.graph import Graph, Input, Node, Output, Role, Update, Value
from kcompile.ir.literal import Literal
from kcompile.ir.op import Op, infer_types
from kcompile.ir.types import TensorType


class Builder:
    """Collects inputs, nodes and updates, and finishes them into a `Graph`.

    The same op on the same operands gives the same value. `scope` names the layer that nodes come
    from. Values that nothing uses are left out by `finish`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._inputs: dict[str, Input] = {}
        self._nodes: list[Node] = []
        self._made: dict[tuple[Op, tuple[Value | None, ...]], tuple[Value, ...]] = {}
        self._names: set[str] = set()
        self._next_suffix: dict[str, int] = {}
        self._updates: dict[str, Update] = {}
        self._scopes: list[str] = []

    @property
    def source(self) -> str:
        """Path of the scopes that are open: `encoder/attention/query`."""
        return "/".join(self._scopes)

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Nodes made inside come from the layer `name` of the scope around it."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    def input(self, name: str, type: TensorType, role: Role = Role.DATA) -> Value:
        """A new input, or the one with this name, which then must have this type and role.

        Raises:
            SpecError: the name is taken by something else.
        """
        known = self._inputs.get(name)
        if known is not None:
            if known.type == type and known.role is role:
                return known.value
            raise SpecError(
                f"the input %{name} is {known.role} {known.type} and cannot be {role} {type} too",
                where=f"graph '{self.name}'",
                hint="Give the two different names",
            )
        if name in self._names:
            raise SpecError(f"the name %{name} is taken", where=f"graph '{self.name}'")
        value = Value(name, type)
        self._names.add(name)
        self._inputs[name] = Input(value, role)
        return value

    def fresh_input(self, wish: str, type: TensorType) -> Value:
        """A new DATA input, named as wished or nearly so."""
        value = Value(self._unique(wish), type)
        self._inputs[value.name] = Input(value, Role.DATA)
        return value

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs so far."""
        return tuple(self._inputs.values())

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes so far, needed or not."""
        return tuple(self._nodes)

    def emit(
        self,
        op: Op,
        *operands: Value | None,
        name: str | None = None,
        source: str | None = None,
    ) -> tuple[Value, ...]:
        """The results of `op` on `operands`.

        Args:
            op: the op with its attributes.
            operands: values of this builder; None for an optional one that is left out.
            name: wish for the (first) result's name; `source:op` otherwise.
            source: layer path, when it is not the open scopes'.

        Raises:
            ShapeError: the operands do not fit; says the layer, the op, the rule and the types.
        """
        while operands and operands[-1] is None:
            operands = operands[:-1]
        key = (op, operands)
        made = self._made.get(key)
        if made is not None:
            return made
        source = self.source if source is None else source
        try:
            types = infer_types(op, tuple(v.type if v is not None else None for v in operands))
        except ShapeError as error:
            raise _located(error, op, operands, source) from None
        wish = name or (f"{source}:{op.name}" if source else op.name)
        outputs = tuple(Value(self._unique(wish), type) for type in types)
        self._nodes.append(Node(op, operands, outputs, source))
        self._made[key] = outputs
        return outputs

    def constant(self, array: Any, name: str | None = None) -> Value:
        """A constant with the array's values."""
        from kcompile.ir.ops.constant import Constant

        return self.emit(Constant(Literal(array)), name=name)[0]

    def update(self, state: Value, value: Value) -> None:
        """Make `value` the next value of the STATE input `state`; the last call counts."""
        self._updates[state.name] = Update(state, value)

    @property
    def has_updates(self) -> bool:
        """Whether any state has a next value."""
        return bool(self._updates)

    def updated(self, state: Value) -> Value:
        """The next value that `state` has so far, or `state` itself."""
        update = self._updates.get(state.name)
        return update.value if update else state

    def finish(self, outputs: Iterable[tuple[str, Value]]) -> Graph:
        """The graph that returns `outputs`, without values that it does not need.

        DATA inputs are kept, used or not: they are the calling convention.
        """
        results = tuple(Output(name, value) for name, value in outputs)
        updates = tuple(self._updates.values())
        needed = {output.value.name for output in results}
        needed |= {name for u in updates for name in (u.state.name, u.value.name)}
        nodes = []
        for node in reversed(self._nodes):
            if any(value.name in needed for value in node.outputs):
                nodes.append(node)
                needed.update(value.name for value in node.inputs if value is not None)
        inputs = tuple(
            entry
            for entry in self._inputs.values()
            if entry.role is Role.DATA or entry.name in needed
        )
        return Graph(self.name, inputs, tuple(reversed(nodes)), results, updates)

    def _unique(self, wish: str) -> str:
        name = wish
        while name in self._names:
            self._next_suffix[wish] = self._next_suffix.get(wish, 0) + 1
            name = f"{wish}_{self._next_suffix[wish]}"
        self._names.add(name)
        return name


def _located(
    error: ShapeError, op: Op, operands: tuple[Value | None, ...], source: str
) -> ShapeError:
    """`error` with the layer, the op and the operand types written into it."""
    names = op.operand_names()
    listed = []
    for position, value in enumerate(operands):
        if value is None:
            continue
        starred = names[-1].startswith("*") and position >= len(names) - 1
        label = (
            f"{names[-1][1:]}[{position - len(names) + 1}]"
            if starred
            else names[position]
            if position < len(names)
            else f"operand {position}"
        )
        listed.append(f"{label} {value.type}")
    error.message = f"{error.message}; got {', '.join(listed)}" if listed else error.message
    return error.located(f"layer '{source}': {op.name}" if source else op.name)  # type: ignore[return-value]
