"""What lowerings write ONNX nodes with."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import ExportError
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Array, Op
from kcompile.ir.types import DType, TensorType, broadcast_shapes
from kcompile.runtimes.onnx import sizes
from kcompile.runtimes.onnx.forms import Choice, choose
from kcompile.runtimes.onnx.kernels import DATA_OPERANDS, ELEMENT_TYPES, compute_type
from kcompile.runtimes.onnx.table import LOWERINGS


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX node whose values go by keys; `Emitter.names` has their names."""

    op_type: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    source: str
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def operands(self) -> set[str]:
        """Keys of the values that it needs; those that its sub-graphs use from outside too."""
        keys = {value.name for value in self.inputs if value is not None}
        graphs = (value for value in self.attributes.values() if isinstance(value, OnnxGraph))
        return keys.union(*(graph.operands for graph in graphs))


@dataclass(frozen=True)
class OnnxGraph:
    """A sub-graph, which may use values of the graphs around it."""

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[OnnxNode, ...]
    outputs: tuple[Value, ...]

    @property
    def operands(self) -> set[str]:
        """Keys of the values that it uses from outside."""
        used = set[str]().union(*(node.operands for node in self.nodes))
        made = {value.name for node in self.nodes for value in node.outputs}
        return used - made - {value.name for value in self.inputs}


def live(nodes: Iterable[OnnxNode], outputs: Iterable[Value]) -> tuple[OnnxNode, ...]:
    """The nodes that `outputs` depend on."""
    needed = {value.name for value in outputs}
    kept = []
    for node in reversed(list(nodes)):
        if any(value.name in needed for value in node.outputs):
            kept.append(node)
            needed |= node.operands
    return tuple(reversed(kept))


def place(graph: Graph, node: Node) -> str:
    """Layer and op of a node, for errors."""
    layer = f"layer '{node.source}'" if node.source else f"graph '{graph.name}'"
    return f"{layer}: {node.op.name}"


class Emitter:
    """Collects the ONNX nodes and initializers of one graph.

    Attributes:
        opset: the opset that the model will have.
        release: the second number of the onnxruntime that has to run it, if it has to be one.
        choices: the forms that were chosen, and how often.
        nodes: the nodes so far.
        initializers: arrays by key.
        values: what stands for each value of the graph, by the value's name.
        wishes: the name that each key would like to have.
        named: keys of values that the graph has a name for.
    """

    def __init__(self, graph: Graph, opset: int, release: int | None = None) -> None:
        self.graph = graph
        self.opset = opset
        self.release = release
        self.choices: Counter[Choice] = Counter()
        self.nodes: list[OnnxNode] = []
        self.initializers: dict[str, Array] = {}
        self.values: dict[str, Value] = {}
        self.wishes: dict[str, str] = {}
        self.named: set[str] = set()
        self._node: Node | None = None
        self._shared: dict[tuple[DType, tuple[int, ...], bytes], Value] = {}
        self._sizes: dict[str, Value] = {}
        self._users = _users(graph)
        for entry in graph.inputs:
            self.values[entry.name] = self.formal(entry.type, entry.name)

    def enter(self, graph: Graph, operands: Iterable[Value], nodes: list[OnnxNode]) -> Emitter:
        """An emitter of a sub-graph, given what stands for its inputs.

        It puts its nodes into `nodes`, and shares names and initializers with this one.
        """
        inner = copy.copy(self)
        inner.graph, inner.nodes, inner._users = graph, nodes, _users(graph)
        inner.values = {e.name: x for e, x in zip(graph.inputs, operands, strict=True)}
        inner._sizes = dict(self._sizes)
        return inner

    def lower(self) -> list[Value]:
        """Lower all nodes of the graph; gives what stands for its outputs."""
        for node in self.graph.nodes:
            operands = self.start(node)
            results = LOWERINGS[type(node.op)](self, node.op, *operands)
            results = results if isinstance(results, tuple) else (results,)
            for value, result in zip(node.outputs, results, strict=True):
                self.finish(value, result)
        return [self.values[output.value.name] for output in self.graph.outputs]

    def formal(self, type: TensorType, wish: str) -> Value:
        """A value that something outside gives: an input of a sub-graph."""
        value = self._value(type, wish)
        self.named.add(value.name)
        return value

    @property
    def result(self) -> TensorType:
        """The type of the (first) result of the node that is being lowered."""
        return self.results[0]

    @property
    def results(self) -> tuple[TensorType, ...]:
        """The types of all results of the node that is being lowered."""
        assert self._node is not None
        return tuple(value.type for value in self._node.outputs)

    def feeds(self, op_classes: tuple[type[Op], ...]) -> bool:
        """Whether one of these ops takes the (first) result of the node that is being lowered."""
        assert self._node is not None
        return any(issubclass(op, op_classes) for op in self._users[self._node.output.name])

    def prefers(self, form: str) -> bool:
        """Whether the node that is being lowered takes ONNX's own op, which could hold it."""
        choice = choose(form, self.opset, self.release)
        self.choices[choice] += 1
        return choice.is_taken

    def refusal(self, reason: str, hint: str | None = None) -> ExportError:
        """An error that says which node is being lowered."""
        assert self._node is not None
        return ExportError(reason, where=place(self.graph, self._node), hint=hint)

    def start(self, node: Node) -> list[Value | None]:
        """Make `node` the one that is being lowered; gives what stands for its operands."""
        self._node = node
        return [None if value is None else self.values[value.name] for value in node.inputs]

    def finish(self, value: Value, result: Value) -> None:
        """Let `result` stand for the graph's `value`, and have its name if it has none yet."""
        self.values[value.name] = result
        if result.name not in self.named and not self.is_shared(result):
            self.wishes[result.name] = value.name
            self.named.add(result.name)

    def is_shared(self, value: Value) -> bool:
        """Whether `value` is a constant that is not one of the graph's."""
        return value.name in self.initializers and value.name not in self.named

    def literal(self, value: Value) -> Array | None:
        """The array of a constant; None for what is only known at run time."""
        return self.initializers.get(value.name)

    def emit(
        self, op_type: str, operands: Sequence[Value | None], type: TensorType, **attributes: Any
    ) -> Value:
        """The result, of that type, of a new node.

        Where onnxruntime has no kernel for the element type, the node computes in a wider one.

        Raises:
            ExportError: there is no wider one that gives the same.
        """
        positions = DATA_OPERANDS.get(op_type, tuple(range(len(operands))))
        first = operands[positions[0]]
        assert first is not None, "an ONNX op's first data operand is never optional"
        dtype = first.type.dtype
        wide = compute_type(op_type, dtype)
        if wide is None:
            raise self.refusal(
                f"onnxruntime has no {op_type} for {dtype.keras_name}, nor for a wider type that"
                " gives the same result",
                hint="Cast to another type in the model, for example float32",
            )
        if wide is dtype:
            return self._append(op_type, operands, (type,), attributes)[0]
        widened = [
            value if value is None or i not in positions else self.cast(value, wide)
            for i, value in enumerate(operands)
        ]
        if type.dtype is not dtype:
            return self._append(op_type, widened, (type,), attributes)[0]
        (result,) = self._append(op_type, widened, (type.with_dtype(wide),), attributes)
        return self.cast(result, dtype)

    def emit_many(
        self,
        op_type: str,
        operands: Sequence[Value | None],
        types: Sequence[TensorType],
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """The results, of those types, of a new node; onnxruntime has a kernel for them."""
        return self._append(op_type, operands, types, attributes)

    def elementwise(self, op_type: str, *operands: Value, **attributes: Any) -> Value:
        """As `emit`, with the element type of the operands and the shape that they broadcast to."""
        shape = broadcast_shapes(*(value.type.shape for value in operands))
        type = TensorType(operands[0].type.dtype, shape)
        return self.emit(op_type, operands, type, **attributes)

    def test(self, op_type: str, *operands: Value) -> Value:
        """As `elementwise`, with a result of bools."""
        shape = broadcast_shapes(*(value.type.shape for value in operands))
        return self.emit(op_type, operands, TensorType(DType.BOOL, shape))

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        """`a` where the condition holds, else `b`."""
        shape = broadcast_shapes(condition.type.shape, a.type.shape, b.type.shape)
        return self.emit("Where", [condition, a, b], TensorType(a.type.dtype, shape))

    def constant(self, array: Any, dtype: DType = DType.INT64, wish: str = "constant") -> Value:
        """An initializer; the same for the same array."""
        array = np.asarray(array, dtype.numpy)
        key = (dtype, array.shape, array.tobytes())
        if key not in self._shared:
            value = self._value(TensorType(dtype, array.shape), wish)
            self.initializers[value.name] = array
            self._shared[key] = value
        return self._shared[key]

    def scalar(self, number: float, dtype: DType) -> Value:
        """A constant of rank 0."""
        return self.constant(np.asarray(number).astype(dtype.numpy), dtype)

    def weight(self, array: Array) -> Value:
        """An initializer with the name of the node that is being lowered, not shared."""
        assert self._node is not None
        value = self._value(self.result, self._node.output.name)
        self.initializers[value.name] = array
        self.named.add(value.name)
        return value

    def filled(self, number: float, type: TensorType) -> Value:
        """A tensor with `number` in every element."""
        if type.is_static:
            return self.constant(np.full(type.static_shape, number, type.dtype.numpy), type.dtype)
        return self.emit("Expand", [self.scalar(number, type.dtype), self.shape(type.shape)], type)

    def cast(self, x: Value, dtype: DType) -> Value:
        """`x` in another element type; `x` itself if that is its type."""
        if x.type.dtype is dtype:
            return x
        if self.is_shared(x):
            return self.constant(self.initializers[x.name].astype(dtype.numpy), dtype)
        return self.emit("Cast", [x], x.type.with_dtype(dtype), to=ELEMENT_TYPES[dtype])

    def transpose(self, x: Value, permutation: Iterable[int]) -> Value:
        """`x` with axis k being its axis permutation[k]; `x` itself if nothing moves."""
        order = tuple(permutation)
        if order == tuple(range(x.type.rank)):
            return x
        type = x.type.with_shape(x.type.shape[axis] for axis in order)
        return self.emit("Transpose", [x], type, perm=order)

    def unsqueeze(self, x: Value, axis: int) -> Value:
        """`x` with a new axis of size 1, counted in the result."""
        shape = list(x.type.shape)
        shape.insert(axis, 1)
        return self.emit("Unsqueeze", [x, self.constant([axis])], x.type.with_shape(shape))

    def squeeze(self, x: Value, axis: int) -> Value:
        """`x` without an axis of size 1."""
        shape = [size for i, size in enumerate(x.type.shape) if i != axis]
        return self.emit("Squeeze", [x, self.constant([axis])], x.type.with_shape(shape))

    def shape(self, shape: Iterable[Size]) -> Value:
        """A vector int64 of those sizes."""
        entries = tuple(shape)
        if not any(isinstance(size, Dim) for size in entries):
            return self.constant(np.asarray(entries, np.int64))
        parts = [self.size(size) for size in entries]
        if len(parts) == 1:
            return parts[0]
        return self.emit("Concat", parts, TensorType(DType.INT64, (len(parts),)), axis=0)

    def size(self, size: Size) -> Value:
        """A vector int64 with the number that `size` has at run time."""
        if isinstance(size, int):
            return self.constant([size])
        key = str(size)
        if key not in self._sizes:
            self._sizes[key] = sizes.lower(self, size)
        return self._sizes[key]

    def _append(
        self,
        op_type: str,
        operands: Sequence[Value | None],
        types: Sequence[TensorType],
        attributes: dict[str, Any],
    ) -> tuple[Value, ...]:
        source = "" if self._node is None else self._node.source
        wish = f"{source}:{op_type}" if source else op_type
        outputs = tuple(self._value(type, wish) for type in types)
        self.nodes.append(OnnxNode(op_type, tuple(operands), outputs, source, attributes))
        return outputs

    def _value(self, type: TensorType, wish: str) -> Value:
        key = f"#{len(self.wishes)}"
        self.wishes[key] = wish
        return Value(key, type)


def _users(graph: Graph) -> dict[str, list[type[Op]]]:
    """The ops that take each value."""
    users: dict[str, list[type[Op]]] = defaultdict(list)
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None:
                users[value.name].append(type(node.op))
    return users
