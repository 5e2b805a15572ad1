"""Where the time of a compiled program goes: a trace of it, and times by layer.

Every instruction of a compiled program remembers the scope that it was traced in, and scopes carry
the names of layers. Instructions that XLA has fused count for the layer of the last one.
"""

from __future__ import annotations

import glob
import gzip
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from kcompile.ir.errors import TrainingError
from kcompile.ir.graph import Graph
from kcompile.runtimes.jax.lowering import scope_of
from kcompile.runtimes.jax.training import UPDATE_SCOPE, Batches, Program, State, words

#: What the CPU's instructions are called that end before what they have begun has.
_LIBRARY_CALLS = ("conv", "dot", "ynn_fusion", "custom-call")
#: What belongs to no layer: loss, metrics, gathering of rows, loops.
ELSEWHERE = ""


class Share(NamedTuple):
    """Seconds of one step in a layer.

    Attributes:
        layer: path of the layer; `optimizer` for the update, empty for what belongs to none.
        forward, backward: seconds.
    """

    layer: str
    forward: float
    backward: float


class Trace(NamedTuple):
    """A run that was looked at.

    Attributes:
        shares: by layer.
        step: seconds that a step took, from end to end.
        path: of the trace, which Perfetto (ui.perfetto.dev) opens.
    """

    shares: list[Share]
    step: float
    path: Path


def trace_steps(
    program: Program, state: State, frozen: Any, data: Any, batches: Batches, folder: Path
) -> Trace:
    """Run the steps of `batches`, once to begin with and once traced. `state` is donated."""
    num_steps = len(batches.indices)
    numbers = words(0, 0, 0, num_steps, True)
    rest = (frozen, program.initial, data, batches, numbers)
    compiled = program.loop.lower(state, *rest).compile()
    state, _ = jax.block_until_ready(compiled(state, *rest))
    args = (state, *rest)
    return _traced(compiled, compiled.as_text() or "", args, program.graph, num_steps, folder)


def trace_prediction(
    function: Any, args: Sequence[Any], graph: Graph, runs: int, folder: Path
) -> Trace:
    """Run a jitted function of a graph so many times."""
    compiled = function.lower(*args).compile()
    jax.block_until_ready(compiled(*args))

    def run(*args: Any) -> Any:
        for _ in range(runs):
            result = jax.block_until_ready(compiled(*args))
        return result

    return _traced(run, compiled.as_text() or "", args, graph, runs, folder)


def _traced(
    run: Any, text: str, args: Sequence[Any], graph: Graph, steps: int, folder: Path
) -> Trace:
    before = set(_trace_files(folder))
    with jax.profiler.trace(str(folder), create_perfetto_trace=True):
        start = time.perf_counter()
        jax.block_until_ready(run(*args))
        seconds = (time.perf_counter() - start) / steps
    new = [path for path in _trace_files(folder) if path not in before]
    if not new:
        raise TrainingError("JAX's profiler wrote no trace", where=str(folder))
    with gzip.open(new[0]) as file:
        events = json.load(file)["traceEvents"]
    times = _instruction_times(events)
    if not times:
        raise TrainingError(
            "the trace tells nothing about what the device computed", where=str(new[0])
        )
    shares = list(_by_layer(times, _instruction_scopes(text), graph, steps))
    return Trace(sorted(shares, key=lambda s: -s.forward - s.backward), seconds, Path(new[0]))


def _trace_files(folder: Path) -> list[str]:
    return glob.glob(f"{glob.escape(str(folder))}/**/perfetto_trace.json.gz", recursive=True)


def _instruction_times(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of each instruction."""
    found = [e for e in events if e.get("ph") == "X" and "hlo_op" in (e.get("args") or {})]
    found.sort(key=lambda event: (event["ts"], -event["dur"]))
    return _without_gaps(found) if jax.default_backend() == "cpu" else _alone(found)


def _without_gaps(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The time from the first start to the last end, all of it shared out.

    An event of the CPU ends when a library has been told what to compute, not when it has done so.
    Time in which no event goes on is that of the library call that was started last.
    """
    times: dict[str, float] = defaultdict(float)
    called = None
    covered = events[0]["ts"] if events else 0.0
    for event in events:
        name, begin, end = event["args"]["hlo_op"], event["ts"], event["ts"] + event["dur"]
        if begin > covered:
            times[called or name] += (begin - covered) / 1e6
        times[name] += max(0.0, end - max(begin, covered)) / 1e6
        covered = max(covered, end)
        called = name if name.startswith(_LIBRARY_CALLS) else called
    return times


def _alone(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The time of each event, without that of the events inside it on its thread."""
    times: dict[str, float] = defaultdict(float)
    around: dict[Any, list[tuple[float, str]]] = defaultdict(list)  # what goes on: ends, names
    for event in events:
        name, begin, outer = (
            event["args"]["hlo_op"],
            event["ts"],
            around[event["pid"], event["tid"]],
        )
        while outer and outer[-1][0] <= begin:
            outer.pop()
        times[name] += event["dur"] / 1e6
        if outer:
            times[outer[-1][1]] -= event["dur"] / 1e6
        outer.append((begin + event["dur"], name))
    return times


def _instruction_scopes(text: str) -> dict[str, str]:
    """The scope of each instruction in the text of a compiled program.

    One that XLA has made itself has that of the first of its operands that has one.
    """
    pattern = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (.*)$", re.M)
    lines = dict(pattern.findall(text))
    scopes = {}
    for name, line in lines.items():
        if found := re.search(r'metadata=\{[^}]*op_name="([^"]*)"', line):
            scopes[name] = found[1]
            continue
        # Operands stand before the instruction, so theirs are known.
        operands = (word for word in re.findall(r"[\w.-]+", line) if word in scopes)
        if (first := next(operands, None)) is not None:
            scopes[name] = scopes[first]
    return scopes


def _by_layer(
    times: Mapping[str, float], scopes: Mapping[str, str], graph: Graph, steps: int
) -> Iterator[Share]:
    layers = {scope_of(node.source): node.source for node in graph.nodes if node.source}
    layers[UPDATE_SCOPE] = UPDATE_SCOPE
    forward: dict[str, float] = defaultdict(float)
    backward: dict[str, float] = defaultdict(float)
    for name, seconds in times.items():
        scope = scopes.get(name, "")
        parts = re.split(r"[/()]", scope)
        layer = next((layers[part] for part in parts if part in layers), ELSEWHERE)
        is_backward = "transpose" in parts or "rematted_computation" in parts
        (backward if is_backward else forward)[layer] += seconds / steps
    for layer in {**forward, **backward}:
        yield Share(layer, forward[layer], backward[layer])
