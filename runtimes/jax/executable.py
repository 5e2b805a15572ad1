"""A graph as something to call with data, on XLA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from kcompile.ir.graph import Graph
from kcompile.runtimes.executable import GraphExecutable
from kcompile.runtimes.jax.eager import compile_graph


class JaxExecutable(GraphExecutable):
    """A graph on XLA, compiled once for each set of shapes; weights are kept on the device.

    Raises:
        ExportError: the graph has updates or strings.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Any] | None = None) -> None:
        with jax.enable_x64(True):  # which leaves 64-bit weights what they are
            on_device = jax.device_put(dict(weights or {}))
        super().__init__(graph, on_device, compile_graph(graph))
