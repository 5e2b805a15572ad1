"""What the tests of passes share."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile.ir.dims import substitute
from kcompile.ir.graph import Graph, Role
from kcompile.ir.parser import parse_graph
from kcompile.ir.printer import print_graph
from kcompile.ir.types import DType
from kcompile.passes.journal import recording
from kcompile.runtimes.reference import run

Pass = Callable[[Graph], Graph]
Arrays = dict[str, np.ndarray[Any, Any]]
SIZES = {"batch": 3, "time": 5}


def graph_of(body: str) -> Graph:
    """The graph whose text form is `body` between `graph @g {` and `}`."""
    return parse_graph("graph @g {\n" + body + "\n}")


def body_of(graph: Graph) -> str:
    lines = print_graph(graph).splitlines()[1:-1]
    return textwrap.dedent("\n".join(lines))


def random_arrays(graph: Graph, seed: int = 0) -> Arrays:
    """An array for each input; variances are positive, integers are below 3."""
    random = np.random.default_rng(seed)
    arrays = {}
    for entry in graph.inputs:
        shape = tuple(substitute(size, SIZES) for size in entry.type.shape)
        if entry.role is Role.RNG:
            array = random.integers(0, 2**32, shape)
        elif entry.type.dtype is DType.BOOL:
            array = random.integers(0, 2, shape)
        elif entry.type.dtype.is_integer:
            array = random.integers(0, 3, shape)
        elif "variance" in entry.name:
            array = random.uniform(0.5, 2, shape)
        else:
            array = random.normal(size=shape)
        arrays[entry.name] = array.astype(entry.type.dtype.numpy)
    return arrays


def assert_same_numbers(
    before: Graph, after: Graph, *, tolerance: float = 0.0, arrays: Mapping[str, Any] | None = None
) -> None:
    """Both graphs give the same outputs and next states, within a relative tolerance."""
    given = random_arrays(before) if arrays is None else arrays
    wanted = {entry.name for entry in after.inputs}
    expected, expected_states = run(before, given)
    found, found_states = run(after, {k: v for k, v in given.items() if k in wanted})
    assert list(expected) == list(found)
    for name, array in {**expected, **expected_states}.items():
        if name in found or name in found_states:
            other = found[name] if name in found else found_states[name]
            np.testing.assert_allclose(other, array, rtol=tolerance, atol=tolerance, err_msg=name)


def check(run_pass: Pass, before: str, after: str, *, tolerance: float = 0.0) -> None:
    """The pass makes `after` of `before`, nothing more of `after`, and keeps the numbers."""
    graph = graph_of(before)
    result = run_pass(graph)
    assert body_of(result) == textwrap.dedent(after).strip()
    assert run_pass(result) == result
    assert_same_numbers(graph, result, tolerance=tolerance)


def check_unchanged(run_pass: Pass, text: str) -> list[str]:
    """The pass leaves the graph as it is; gives the reasons that it recorded."""
    graph = graph_of(text)
    with recording() as journal:
        assert run_pass(graph) is graph
    return [refusal.reason for refusal in journal.refusals]
