"""Holds a program against itself: through the text form, passes, pipelines and runtimes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, ExportError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.ops.control import all_nodes
from kcompile.ir.parser import parse_graph
from kcompile.ir.printer import MAX_INLINE_ELEMENTS, print_graph
from kcompile.passes import pipelines
from kcompile.passes.bind_weights import bind_weights
from kcompile.passes.merge_scales import merge_scales
from kcompile.passes.specialize import specialize
from kcompile.passes.to_inference import to_inference
from kcompile.runtimes import reference
from kcompile.runtimes.jax import JaxExecutable
from kcompile.runtimes.jax.table import LOWERINGS as IN_JAX
from kcompile.runtimes.onnx import export_graph
from kcompile.runtimes.onnx.table import LOWERINGS as IN_ONNX
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable
from tests.fuzzing.generator import Program
from tests.fuzzing.numbers import Arrays, Tracked, difference, track_graph

Run = Callable[[Arrays], Mapping[str, Any]]

#: Every pass of the pipelines that takes nothing but the graph.
PASSES: dict[str, Callable[[Graph], Graph]] = {
    step.name: step.run
    for pipeline in (pipelines.ONNX, pipelines.INFERENCE, pipelines.TRAINING)
    for step in pipeline
    if step.argument is None
}
NUM_PASSES = 5


@dataclass(frozen=True)
class Failure:
    """What went wrong.

    Attributes:
        stage: which check found it, such as `pass fold_batch_norm` or `onnxruntime all`.
        message: what it said.
    """

    stage: str
    message: str


@dataclass
class Statistics:
    """What was run.

    Attributes:
        graphs, nodes: how many.
        ops: how often each op was in a graph.
        compared, unsteady: outputs that were compared, and that rounding errors move too far.
        unfinished: graphs in which the ONNX pipeline finds more to do a second time.
        refused: exports that were refused with a reason, by the reason.
    """

    graphs: int = 0
    nodes: int = 0
    ops: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    unsteady: int = 0
    unfinished: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Runner:
    """Checks programs.

    Args:
        with_jax: whether JAX runs them too, which takes most of the time.
    """

    def __init__(self, with_jax: bool = True) -> None:
        self.with_jax = with_jax
        self.statistics = Statistics()

    def check(self, program: Program, seed: int) -> Failure | None:
        """The first failure of a program; `seed` chooses the passes."""
        self._count(program.graph)
        try:
            program, expected = _expected(program)
        except Exception as error:  # the reference's own
            return Failure("reference", f"{type(error).__name__}: {error}")
        for outputs in expected:
            steady = sum(x.is_finite and x.is_steady for x in outputs.values())
            self.statistics.compared += steady
            self.statistics.unsteady += len(outputs) - steady
        for stage, check in self._stages(program, expected, np.random.default_rng(seed)):
            try:
                message = check()
            except Exception as error:  # whatever is raised, it is a finding
                message = f"{type(error).__name__}: {error}"
            if message is not None:
                return Failure(stage, message)
        return None

    def _count(self, graph: Graph) -> None:
        statistics = self.statistics
        statistics.graphs += 1
        statistics.nodes += len(graph.nodes)
        statistics.ops.update(node.op.name for node in all_nodes(graph))

    def _stages(
        self, program: Program, expected: list[dict[str, Tracked]], random: np.random.Generator
    ) -> Iterator[tuple[str, Callable[[], str | None]]]:
        """Checks by name; each gives a message if it fails."""
        graph = program.graph
        yield "text form", lambda: _round_trip(graph)
        current = graph
        for name in random.permutation(sorted(PASSES))[:NUM_PASSES]:
            made: list[Graph] = []

            def rewrite(name: str = name, made: list[Graph] = made, before: Graph = current) -> Any:
                made.append(PASSES[name](before))
                run = _reference(made[0], program.weights)
                return _compare(run, program, expected)

            yield f"pass {name}", rewrite
            current = made[0]
        bound = bind_weights(to_inference(graph), program.weights)
        yield "pass specialize", lambda: _specialized(bound, program, expected)
        optimized: list[Graph] = []

        def optimize() -> str | None:
            result = pipelines.run_pipeline(
                graph, pipelines.ONNX, arguments={"weights": program.weights}
            )
            optimized.append(result.graph)
            return _compare(_reference(result.graph, {}), program, expected)

        yield "pipeline onnx", optimize
        self.statistics.unfinished += not _stays(optimized[0])
        # onnxruntime refuses some chains of scalings (docs/trust.md).
        plain = merge_scales(bound)
        for stage, source in (("optimized", optimized[0]), ("plain", plain)):
            if all(type(node.op) in IN_ONNX for node in all_nodes(source)):
                yield from self._onnx_stages(stage, source, program, expected)
        if self.with_jax and all(type(node.op) in IN_JAX for node in all_nodes(graph)):
            yield "jax", lambda: _compare(_jax(program), program, expected)

    def _onnx_stages(
        self, stage: str, graph: Graph, program: Program, expected: list[dict[str, Tracked]]
    ) -> Iterator[tuple[str, Callable[[], str | None]]]:
        files: list[bytes] = []

        def export() -> None:
            try:
                files.append(export_graph(graph).SerializeToString())
            except ExportError as error:
                self.statistics.refused[error.message] += 1

        yield f"export {stage}", export
        for level in ("off", "all") if files else ():
            yield (
                f"onnxruntime {level}, {stage}",
                lambda level=level: _compare(_onnxruntime(files[0], level), program, expected),
            )


def _expected(program: Program) -> tuple[Program, list[dict[str, Tracked]]]:
    """What the program computes; it is left with the runs whose sizes its ops take."""
    runs, expected = [], []
    for arrays in program.runs:
        try:
            expected.append(track_graph(program.graph, {**program.weights, **arrays}))
        except DataError:  # a window is longer than an axis of that size
            continue
        runs.append(arrays)
    return dataclasses.replace(program, runs=tuple(runs)), expected


def _round_trip(graph: Graph) -> str | None:
    arrays = [value for node in all_nodes(graph) for value in vars(node.op).values()]
    if any(getattr(getattr(v, "array", None), "size", 0) > MAX_INLINE_ELEMENTS for v in arrays):
        return None
    text = print_graph(graph)
    return None if parse_graph(text) == graph else "it parses back to another graph"


def _reference(graph: Graph, weights: Arrays) -> Run:
    names = {entry.name for entry in graph.inputs}

    def run(arrays: Arrays) -> Arrays:
        given = {**weights, **arrays}
        outputs = reference.run(graph, {n: array for n, array in given.items() if n in names})
        return outputs[0]

    return run


def _jax(program: Program) -> Run:
    return JaxExecutable(to_inference(program.graph), _used(program)).run


def _used(program: Program) -> Arrays:
    names = {e.name for e in to_inference(program.graph).inputs_with(Role.PARAM)}
    return {name: array for name, array in program.weights.items() if name in names}


def _onnxruntime(file: bytes, level: Any) -> Run:
    session = OnnxRuntimeExecutable(file, optimization=level, threads=1)
    names = {info.name for info in session.inputs}
    return lambda arrays: session.run({n: array for n, array in arrays.items() if n in names})


def _specialized(graph: Graph, program: Program, expected: list[dict[str, Tracked]]) -> str | None:
    """With the numbers of the first run in place of the symbols."""
    from tests.fuzzing.generator import SIZES

    sizes = {name: number for name, number in SIZES[0].items() if name in graph.symbols}
    run = _reference(specialize(graph, sizes), {})
    return _first_difference(run(program.runs[0]), expected[0])


def _stays(graph: Graph) -> bool:
    return pipelines.run_pipeline(graph, pipelines.ONNX, arguments={"weights": {}}).graph == graph


def _compare(run: Run, program: Program, expected: list[dict[str, Tracked]]) -> str | None:
    for arrays, wanted in zip(program.runs, expected, strict=True):
        if (message := _first_difference(run(arrays), wanted)) is not None:
            return message
    return None


def _first_difference(actual: Mapping[str, Any], wanted: dict[str, Tracked]) -> str | None:
    if list(actual) != list(wanted):
        return f"outputs {list(actual)}, not {list(wanted)}"
    for name, tracked in wanted.items():
        if (message := difference(actual[name], tracked)) is not None:
            return f"output {name}: {message}"
    return None
