"""Traces inside a trace: the bodies of loops and the branches of conditionals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops.control import loose_symbols
from kcompile.ir.types import DType, TensorType
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import Trace
from kcompile.ops.variable import Variable


class BodyTrace(Trace):
    """A sub-graph in the making.

    Tensors of the traces around it, and variables, become inputs of the sub-graph: captures. A
    capture is an operand of the op that the sub-graph belongs to.

    Args:
        name: what it is: `body`, `condition`, ...
        outer: the trace that it is inside of.
        types: of the inputs that the op gives it, before the captures.
        function: is called with tensors of those types; gives a structure of tensors.
        rng: gives the key of random ops inside, as a value of the sub-graph.

    Attributes:
        formals: the inputs that the op gives it.
        result: what `function` returned.
        flat: the tensors in it, in order.
    """

    def __init__(
        self,
        name: str,
        outer: Trace,
        types: Sequence[TensorType],
        function: Callable[..., Any],
        rng: Callable[[BodyTrace], Value],
    ) -> None:
        super().__init__(name)
        self.outer = outer
        self.mode, self.autocast = outer.mode, outer.autocast
        self._rng = rng
        self._captures: dict[str, tuple[TracedTensor, Value]] = {}
        self.formals = [TracedTensor(self, self.builder.fresh_input("x", type)) for type in types]
        with self.active(), self._source():
            self.result = function(*self.formals)
            self.flat = [self.convert(leaf) for leaf in leaves(self.result) if leaf is not None]
        if self.losses:
            raise NotImplementedError(
                f"{self._where()}: losses that are added inside of a loop or branch are not there"
                " yet; return the tensor and add the loss outside"
            )

    def _where(self) -> str:
        source = self.outer.builder.source
        return f"layer '{source}'" if source else f"graph '{self.outer.builder.name}'"

    @contextlib.contextmanager
    def _source(self) -> Iterator[None]:
        source = self.outer.builder.source
        with self.builder.scope(source) if source else contextlib.nullcontext():
            yield

    def capture(self, tensor: TracedTensor) -> TracedTensor:
        """A tensor of a trace around this one, as an input."""
        held = self.outer.convert(tensor)
        if held.value.name not in self._captures:
            value = self.builder.fresh_input(held.value.name, held.type)
            self._captures[held.value.name] = held, value
        return TracedTensor(self, self._captures[held.value.name][1])

    @property
    def captured(self) -> list[TracedTensor]:
        """The captures, as tensors of the trace around this one."""
        return [outer for outer, _ in self._captures.values()]

    def _is_inside(self, trace: Trace) -> bool:
        around: Any = self.outer
        while around is not trace and isinstance(around, BodyTrace):
            around = around.outer
        return around is trace

    def convert(self, value: Any, dtype: DType | None = None) -> TracedTensor:
        if (
            isinstance(value, TracedTensor)
            and value.trace is not self
            and self._is_inside(value.trace)
        ):
            value = self.capture(value)
        return super().convert(value, dtype)

    def read(self, variable: Variable) -> TracedTensor:
        with self.outer.autocasting(self.autocast):
            return self.capture(self.outer.read(variable))

    def assign(self, variable: Variable, value: Any) -> NoReturn:
        """Refused: a state changes once in a step, not once in each turn of a loop.

        Raises:
            SpecError: always.
        """
        raise SpecError(
            "a weight cannot be assigned inside of a loop or branch",
            where=f"weight '{variable.path}'",
            hint="Return the new value from the loop, and assign it outside",
        )

    def rng(self) -> Value:
        return self._rng(self)

    def stream(self, seed: int | None = None) -> int:
        return self.outer.stream(seed)

    def tensor_with(self, symbol: str) -> TracedTensor:
        """A tensor that has the symbol as the whole size of an axis."""
        own = self._input_with(symbol)
        return self.capture(self.outer.tensor_with(symbol)) if own is None else own

    def determine_symbols(self) -> None:
        """Capture what symbols that occur inside take their numbers from."""
        while loose := loose_symbols(self.builder.nodes, self.builder.inputs):
            self.tensor_with(min(loose))

    def close(self, captures: Sequence[TracedTensor]) -> Graph:
        """The sub-graph, which takes the formals and then `captures`."""
        operands = [self.capture(tensor) for tensor in captures]
        graph = self.builder.finish((f"y{i}", tensor.value) for i, tensor in enumerate(self.flat))
        by_name = {entry.name: entry for entry in graph.inputs}
        inputs = tuple(by_name[tensor.value.name] for tensor in (*self.formals, *operands))
        return Graph(graph.name, inputs, graph.nodes, graph.outputs)


def close_all(*bodies: BodyTrace) -> tuple[list[Graph], list[TracedTensor]]:
    """The sub-graphs of one op, which all take the same captures; and the captures."""
    captures: list[TracedTensor] = []
    while True:
        for body in bodies:
            for tensor in captures:
                body.capture(tensor)
            body.determine_symbols()
        found = {tensor.value.name: tensor for body in bodies for tensor in body.captured}
        if len(found) == len(captures):
            return [body.close(captures) for body in bodies], captures
        captures = list(found.values())


def rng_of_outer(body: BodyTrace) -> Value:
    """The key around: for branches, which run once."""
    return body.capture(TracedTensor(body.outer, body.outer.rng())).value


def pack_tensors(structure: Any, flat: Sequence[Any]) -> Any:
    """`structure` with `flat` in the place of its leaves, apart from those that are None."""
    remaining = iter(flat)
    return map_leaves(lambda leaf: None if leaf is None else next(remaining), structure)


def tensors_of(trace: Trace, structure: Any) -> list[TracedTensor]:
    """The leaves that are not None as tensors."""
    return [trace.convert(leaf) for leaf in leaves(structure) if leaf is not None]
