"""Runs graphs at once, each compiled when it is first seen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from kcompile.ir.graph import Graph
from kcompile.runtimes.binding import bind_arrays
from kcompile.runtimes.hosted import on_host
from kcompile.runtimes.jax import compile_cache
from kcompile.runtimes.jax.lowering import Results, first_wide_value, lower

_CACHE_SIZE = 1024  # an eager program calls a few hundred different ops and shapes


def compile_graph(graph: Graph) -> Callable[[Mapping[str, Any]], Any]:
    """`lower(graph)` under `jax.jit`; one with 64-bit types runs in x64 mode.

    Strings, and what is computed from them on the host, are NumPy's.
    """
    return on_host(graph, _compile_device)


def _compile_device(graph: Graph) -> Callable[[Mapping[str, Any]], Results]:
    compile_cache.start()
    compiled = jax.jit(lower(graph))

    def function(arrays: Mapping[str, Any]) -> Results:
        bound, _ = bind_arrays(graph, arrays)  # before jit, which would turn float64 into float32
        if not wide:
            return in_order(compiled(bound))
        with jax.enable_x64(True):
            return in_order(compiled(bound))

    def in_order(results: Results) -> Results:
        """jit returns dicts sorted by key."""
        outputs, states = results
        return {output.name: outputs[output.name] for output in graph.outputs}, states

    wide = first_wide_value(graph) is not None
    return function


_compile_cached = functools.lru_cache(maxsize=_CACHE_SIZE)(compile_graph)


def run_graph(graph: Graph, arrays: Mapping[str, Any]) -> Any:
    """Outputs by output name, and next states by state name, of `graph` on `arrays`.

    Raises:
        DataError: the arrays do not fit the inputs.
        ExportError: a state is computed from strings.
    """
    return _compile_cached(graph)(arrays)
