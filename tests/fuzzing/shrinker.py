"""Makes a program that fails smaller, as long as it fails in the same stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from kcompile.ir.errors import KCompileError
from kcompile.ir.graph import Graph, Input, Node, Output, Role, Value
from kcompile.ir.ops import Constant
from kcompile.runtimes import reference
from tests.fuzzing.generator import Program
from tests.fuzzing.numbers import Arrays

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails, seconds: float = 60.0) -> Program:
    """The smallest program found in that time that still fails."""
    deadline = time.monotonic() + seconds
    progress = True
    while progress and time.monotonic() < deadline:
        progress = False
        for candidate in _smaller(program):
            if time.monotonic() > deadline:
                break
            if fails(candidate):
                program, progress = candidate, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """Programs with less in them, the ones with least first."""
    graph = program.graph
    unused = [entry for entry in graph.inputs if entry.name not in graph.uses]
    for entry in unused:
        kept = tuple(other for other in graph.inputs if other is not entry)
        yield from _program(program, graph.nodes, graph.outputs, kept)
    if len(graph.outputs) > 1:
        for output in graph.outputs:
            yield from _program(program, graph.nodes, (output,))
    for node in graph.nodes:  # what is behind it goes away
        if not isinstance(node.op, Constant) and node is not graph.nodes[-1]:
            yield from _program(program, graph.nodes, (Output("y0", node.outputs[0]),))
    for node in reversed(graph.nodes):  # what is before it goes away
        if isinstance(node.op, Constant):
            continue
        for operand in node.inputs:
            if operand is not None and operand.type == node.outputs[0].type:
                yield from _replaced(program, node, operand)
        yield from _cut(program, node)


def _replaced(program: Program, node: Node, operand: Value) -> Iterator[Program]:
    """The first result of a node becomes one of its operands."""
    names = {node.outputs[0].name: operand}
    nodes = [_renamed(other, names) for other in program.graph.nodes if other is not node]
    outputs = tuple(
        Output(output.name, names.get(output.value.name, output.value))
        for output in program.graph.outputs
    )
    yield from _program(program, tuple(nodes), outputs)


def _renamed(node: Node, names: dict[str, Value]) -> Node:
    inputs = tuple(None if v is None else names.get(v.name, v) for v in node.inputs)
    return Node(node.op, inputs, node.outputs, node.source)


def _cut(program: Program, node: Node) -> Iterator[Program]:
    """The results of a node become inputs, with the numbers that they have."""
    graph = program.graph
    if all(value is None or graph.producers.get(value.name) is None for value in node.inputs):
        return
    whole = Graph("cut", graph.inputs, graph.nodes, tuple(Output(v.name, v) for v in node.outputs))
    try:
        made = [reference.run(whole, {**program.weights, **run})[0] for run in program.runs]
    except KCompileError:
        return
    runs = tuple({**run, **arrays} for run, arrays in zip(program.runs, made, strict=True))
    nodes = tuple(other for other in graph.nodes if other is not node)
    inputs = (*graph.inputs, *(Input(value, Role.DATA) for value in node.outputs))
    yield from _program(Program(graph, program.weights, runs), nodes, graph.outputs, inputs)


def _program(
    program: Program,
    nodes: tuple[Node, ...],
    outputs: tuple[Output, ...],
    inputs: tuple[Input, ...] | None = None,
) -> Iterator[Program]:
    """The program with these nodes, without those that the outputs do not need; none if invalid."""
    needed = {output.value.name for output in outputs}
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(value.name in needed for value in node.outputs):
            kept.insert(0, node)
            needed |= {value.name for value in node.inputs if value is not None}
    given = program.graph.inputs if inputs is None else inputs
    used = tuple(entry for entry in given if entry.name in needed)
    # An input without use may give a symbol its number, or be what fails.
    for entries in dict.fromkeys((used, given)):
        try:
            graph = Graph(program.graph.name, entries, tuple(kept), outputs)
        except KCompileError:
            continue
        names = {entry.name for entry in entries}
        runs = tuple(_only(arrays, names) for arrays in program.runs)
        yield Program(graph, _only(program.weights, names), runs)


def _only(arrays: Arrays, names: set[str]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if name in names}
