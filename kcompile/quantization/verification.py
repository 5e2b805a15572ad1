"""Holds a quantized file against its graph.

A runtime may compute `round(x / scale)` from sums in another order. Where x / scale lies next to
the middle of two integers its result is one off, and everything that is computed from it differs.
So each rounding is judged alone: onnxruntime runs the graph with all that is quantized as outputs,
and the reference computes each of these from the integers that onnxruntime found before it. An
integer may be `TIE` further than half a step from the number that was rounded; outputs may differ
as those of other files. The file itself has to give what that run gave; where onnxruntime fuses
the two in different ways, up to what moving everything that is rounded by `SHIFT` of a step
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import Graph, Node, Output
from kcompile.ir.op import evaluate
from kcompile.ir.ops import DynamicQuantize, Quantize
from kcompile.ir.ops.quantization import limits
from kcompile.ir.types import DType
from kcompile.runtimes.binding import bind_arrays, bind_op
from kcompile.runtimes.onnx import export_graph
from kcompile.runtimes.onnxruntime.expectation import TOLERANCES
from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable, Optimization
from kcompile.runtimes.onnxruntime.verification import SMALLEST_SCALE

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
TIE, SHIFT = 1 / 64, 1 / 16
LEVELS: tuple[Optimization, ...] = ("off", "all")
#: `visit(node, operands, results)` gives the results to go on with.
Visit = Callable[[Node, Sequence[Array | None], tuple[Array, ...]], tuple[Array, ...]]


@dataclass(frozen=True)
class QuantizedComparison:
    """One output of one run.

    Attributes:
        output: its name.
        optimization: of onnxruntime.
        difference: the largest one, from what follows from onnxruntime's integers.
        tolerance: what that may be.
        flips: how many integers were rounded the other way, of all in the graph.
    """

    output: str
    optimization: str
    difference: float
    tolerance: float
    flips: int


def verify_quantized(graph: Graph, model: bytes, inputs: Arrays) -> list[QuantizedComparison]:
    """Run a file beside its graph, with all optimizations of onnxruntime off and on.

    Args:
        graph: what the file was exported from.
        model: the file's contents.
        inputs: arrays by name.

    Raises:
        VerifyError: an integer is none that rounding explains, or an output differs.
    """
    roundings = [node for node in graph.nodes if isinstance(node.op, Quantize | DynamicQuantize)]
    names = [value.name for node in roundings for value in node.outputs]
    values = {value.name: value for node in roundings for value in node.outputs}
    shown = tuple(Output(f"value {i}", values[name]) for i, name in enumerate(names))
    observed = Graph(graph.name, graph.inputs, graph.nodes, (*graph.outputs, *shown))
    data = export_graph(observed).SerializeToString()
    moved: dict[str, Array] | None = None
    comparisons: list[QuantizedComparison] = []
    for level in LEVELS:
        found = OnnxRuntimeExecutable(data, optimization=level, threads=1).run(inputs)
        integers = {name: found[f"value {i}"] for i, name in enumerate(names)}
        judge = _Judge(integers, f"onnxruntime, optimizations {level}")
        expected = _run(graph, inputs, judge.visit)
        for name, wanted in expected.items():
            difference, tolerance = _compare(name, judge.place, found[name], wanted)
            entry = QuantizedComparison(name, level, difference, tolerance, judge.flips)
            comparisons.append(entry)
        of_file = OnnxRuntimeExecutable(model, optimization=level, threads=1).run(inputs)
        if any(not np.array_equal(of_file[name], found[name]) for name in expected):
            moved = moved or _run(graph, inputs, _mover(graph))
            for name, wanted in expected.items():
                slack = float(np.max(np.abs(_wide(moved[name]) - _wide(wanted)), initial=0.0))
                _compare(name, f"{judge.place}, the file", of_file[name], found[name], slack)
    return comparisons


class _Judge:
    """Compares each rounding with the reference, and goes on with what onnxruntime found."""

    def __init__(self, integers: Arrays, place: str) -> None:
        self.integers = integers
        self.place = place
        self.flips = 0

    def visit(
        self, node: Node, operands: Sequence[Array | None], results: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        if not isinstance(node.op, Quantize | DynamicQuantize):
            return results
        found = tuple(self.integers[value.name] for value in node.outputs)
        x, *parameters = operands
        assert x is not None
        scale, zero_point = parameters if isinstance(node.op, Quantize) else found[1:]
        assert scale is not None and zero_point is not None
        if isinstance(node.op, DynamicQuantize):
            self._require_scale(node, scale, zero_point, results)
        axis = node.op.axis if isinstance(node.op, Quantize) else None
        if axis is not None:
            shape = [1] * x.ndim
            shape[axis] = -1
            scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
        exact = _wide(x) / _wide(scale) + _wide(zero_point)
        ends = limits(DType.of(found[0].dtype))
        distance = np.abs(np.clip(exact, *ends) - found[0])
        if not np.all(distance <= 0.5 + TIE):
            raise VerifyError(
                f"an integer is {np.max(distance):.3g} steps from what it was rounded from",
                where=f"%{node.outputs[0].name} ({self.place})",
                hint="Processors that add products in 16 bits need reduce_range=True",
            )
        self.flips += int(np.sum(distance > 0.5))
        return found

    def _require_scale(
        self, node: Node, scale: Array, zero_point: Array, results: tuple[Array, ...]
    ) -> None:
        near = np.allclose(scale, results[1], rtol=TOLERANCES[DType.FLOAT32], atol=0)
        if not near or abs(int(zero_point) - int(results[2])) > 1:
            raise VerifyError(
                f"it has scale {scale} and zero point {zero_point}, the graph {results[1]} and"
                f" {results[2]}",
                where=f"%{node.outputs[0].name} ({self.place})",
            )


def _mover(graph: Graph) -> Visit:
    """Moves everything that is rounded by up to a share of a step."""
    rng = np.random.default_rng(0)

    def visit(
        node: Node, operands: Sequence[Array | None], results: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        if not isinstance(node.op, Quantize | DynamicQuantize):
            return results
        x, *parameters = operands
        assert x is not None
        step = parameters[0] if isinstance(node.op, Quantize) else results[1]
        assert step is not None
        noise = rng.uniform(-SHIFT, SHIFT, x.shape) * _wide(step).max()
        return evaluate(node.op, (np.asarray(x + noise, x.dtype), *parameters))

    return visit


def _compare(
    name: str, place: str, actual: Array, wanted: Array, slack: float = 0.0
) -> tuple[float, float]:
    """The largest difference, and what it may be."""
    where = f"output '{name}' ({place})"
    if actual.dtype != wanted.dtype or actual.shape != wanted.shape:
        raise VerifyError(
            f"the model gives {actual.dtype}{list(actual.shape)}, the graph"
            f" {wanted.dtype}{list(wanted.shape)}",
            where=where,
        )
    magnitudes = np.abs(_wide(wanted))
    largest = float(np.max(magnitudes[np.isfinite(magnitudes)], initial=0.0))
    limit = TOLERANCES.get(DType.of(wanted.dtype), 0.0)
    tolerance = slack + limit * max(largest, SMALLEST_SCALE)
    with np.errstate(invalid="ignore"):
        differences = np.abs(_wide(actual) - _wide(wanted))
    same = (actual == wanted) | ((actual != actual) & (wanted != wanted))  # infinities and NaN
    difference = float(np.max(np.where(same, 0.0, differences), initial=0.0))
    if not difference <= tolerance:
        raise VerifyError(
            f"it differs by {difference:.3g}, and may by {tolerance:.3g} (largest element"
            f" {largest:.3g})",
            where=where,
        )
    return difference, tolerance


def _wide(array: Array) -> Array:
    return np.asarray(array, np.float64)


def _run(graph: Graph, inputs: Arrays, visit: Visit) -> dict[str, Array]:
    """The outputs by the reference."""
    bound, env = bind_arrays(graph, inputs)
    values: dict[str, Array] = {name: np.asarray(array) for name, array in bound.items()}
    remaining = dict(graph.uses)
    for node in graph.nodes:
        operands = [None if value is None else values[value.name] for value in node.inputs]
        results = evaluate(bind_op(node, operands, env, graph), tuple(operands))
        results = visit(node, operands, results)
        values.update(zip((value.name for value in node.outputs), results, strict=True))
        for value in node.inputs:
            if value is not None:
                remaining[value.name] -= 1
                if not remaining[value.name]:
                    del values[value.name]
    return {output.name: values[output.value.name] for output in graph.outputs}
