"""Loops and branches: Scan, Loop and If of ONNX, whose sub-graphs see the values around them."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import If, Scan, While
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter, OnnxGraph, live
from kcompile.runtimes.onnx.table import lowers

_BOOL = TensorType(DType.BOOL, ())
_NUMBER = TensorType(DType.INT64, ())


@lowers(Scan)
def _scan(emitter: Emitter, op: Scan, *operands: Value) -> tuple[Value, ...]:
    carries, sequences, constants = op.split(operands)
    if sequences[0].type.shape[0] == 0:  # onnxruntime's Scan wants a step
        empty = emitter.results[op.num_carries :]
        return (*carries, *(emitter.filled(0, type) for type in empty))
    given = [*carries, *sequences]
    formals = _formals(emitter, op.body, len(given))
    inner = emitter.enter(op.body, (*formals, *constants), [])
    body = _close(inner, formals, inner.lower())
    directions = {}
    if op.reverse:
        directions = {
            "scan_input_directions": [1] * op.num_sequences,
            "scan_output_directions": [1] * (len(emitter.results) - op.num_carries),
        }
    return emitter.emit_many(
        "Scan",
        given,
        emitter.results,
        body=body,
        num_scan_inputs=op.num_sequences,
        **{name: values for name, values in directions.items() if values},
    )


@lowers(While)
def _while(emitter: Emitter, op: While, *operands: Value) -> tuple[Value, ...]:
    """ONNX's body says whether there is another step, so the condition is in it and before it."""
    carries, constants = operands[: op.num_carries], operands[op.num_carries :]
    (holds,) = emitter.enter(op.condition, operands, emitter.nodes).lower()
    formals = _formals(emitter, op.body, len(carries))
    inner = emitter.enter(op.body, (*formals, *constants), [])
    results = inner.lower()
    (again,) = inner.enter(op.condition, (*results, *constants), inner.nodes).lower()
    step = (emitter.formal(_NUMBER, "step"), emitter.formal(_BOOL, "condition"))
    body = _close(inner, (*step, *formals), [again, *results])
    return emitter.emit_many("Loop", [None, holds, *carries], emitter.results, body=body)


@lowers(If)
def _if(emitter: Emitter, op: If, predicate: Value, *operands: Value) -> tuple[Value, ...]:
    def branch(graph: Graph) -> OnnxGraph:
        inner = emitter.enter(graph, operands, [])
        return _close(inner, (), inner.lower())

    return emitter.emit_many(
        "If",
        [predicate],
        emitter.results,
        then_branch=branch(op.then),
        else_branch=branch(op.otherwise),
    )


def _formals(emitter: Emitter, graph: Graph, count: int) -> list[Value]:
    """Values for the first `count` inputs, which the loop gives."""
    return [emitter.formal(entry.type, entry.name) for entry in graph.inputs[:count]]


def _close(inner: Emitter, inputs: Sequence[Value], outputs: Sequence[Value]) -> OnnxGraph:
    """The sub-graph that returns `outputs`, each made by a node of its own there."""
    made = {value.name for node in inner.nodes for value in node.outputs}
    returned: list[Value] = []
    for value in outputs:
        if value.name not in made or value in returned:
            (value,) = inner.emit_many("Identity", [value], [value.type])
        returned.append(value)
    nodes = live(inner.nodes, returned)
    return OnnxGraph(inner.graph.name, tuple(inputs), nodes, tuple(returned))
