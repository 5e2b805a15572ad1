"""A graph as something to call with data, on NumPy."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kcompile.ir.graph import Graph
from kcompile.runtimes.executable import GraphExecutable
from kcompile.runtimes.reference.interpreter import run


class ReferenceExecutable(GraphExecutable):
    """A graph on the NumPy references of its ops.

    Raises:
        ExportError: the graph has updates.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Any] | None = None) -> None:
        super().__init__(graph, weights, functools.partial(run, graph))
