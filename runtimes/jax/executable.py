"""A graph as something to call with data, on XLA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from kcompile.ir.graph import Graph
from kcompile.runtimes.executable import GraphExecutable
from kcompile.runtimes.jax.eager import compile_graph


def on_device(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays on the device, 64-bit ones as they are."""
    with jax.enable_x64(True):
        return jax.device_put(dict(arrays))


class JaxExecutable(GraphExecutable):
    """A graph on XLA, compiled once for each set of shapes; weights are kept on the device.

    Raises:
        ExportError: the graph has updates or strings.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Any] | None = None) -> None:
        super().__init__(graph, on_device(weights or {}), compile_graph(graph))
