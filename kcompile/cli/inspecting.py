"""`kcompile inspect`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from kcompile.cli.loading import Source, load
from kcompile.cli.options import Ends
from kcompile.cli.running import print_json, show
from kcompile.ir.graph import Graph
from kcompile.ir.printer import print_graph
from kcompile.models import Model
from kcompile.passes.pipelines import INFERENCE, ONNX, TRAINING, LogEntry, run_pipeline
from kcompile.utils.inspection import LayerRow, layer_table, total
from kcompile.utils.units import format_bytes

#: The passes of each target.
PIPELINES = {"inference": INFERENCE, "onnx": ONNX, "training": TRAINING}


def inspect_file(
    source: Source, ends: Ends, target: str | None, after: str | None, as_json: bool
) -> None:
    """Show the graph of the model in a file, and its layers."""
    loaded = load(source)
    graph, log = _graph(loaded.model, ends, target or ("onnx" if after else None), after)
    rows = layer_table(graph if log else loaded.model)
    text = print_graph(graph)
    if not as_json:
        show(text, _table(rows), f"made by {loaded.made_by}")
        return
    print_json(
        {
            "made_by": loaded.made_by,
            "weights": None if loaded.weights is None else str(loaded.weights),
            "graph": text,
            "nodes": len(graph.nodes),
            "layers": [dataclasses.asdict(row) for row in rows],
            "total": _totals(rows),
            "passes": [entry.name for entry in log],
        }
    )


def traced(
    model: Model, ends: Ends, target: str | None
) -> tuple[Graph, dict[str, np.ndarray[Any, Any]]]:
    """The graph of a model for a target, and the array of each weight in it."""
    graph = ends.interface(model).apply(model.graph(training=target == "training"))
    present = {entry.name for entry in graph.inputs}
    named = {path: variable for path, variable in model.named_weights().items() if path in present}
    return graph, {path: np.asarray(variable) for path, variable in named.items()}


def _graph(
    model: Model, ends: Ends, target: str | None, after: str | None
) -> tuple[Graph, tuple[LogEntry, ...]]:
    graph, weights = traced(model, ends, target)
    if target is None:
        return graph, ()
    result = run_pipeline(
        graph, PIPELINES[target], arguments={"weights": weights}, stop_after=after
    )
    return result.graph, result.log


def _totals(rows: list[LayerRow]) -> dict[str, int]:
    sums = total(rows)
    return {
        "num_parameters": sums.num_parameters,
        "flops": sums.flops,
        "output_bytes": sums.output_bytes,
    }


def _table(rows: list[LayerRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    table.add_column("type", overflow="fold")
    table.add_column("output shape", overflow="fold")
    for name in ("parameters", "FLOPs", "output memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in (*rows, total(rows)):
        table.add_row(
            row.name,
            row.kind,
            " ".join(f"[{', '.join(map(str, shape))}]" for shape in row.output_shapes),
            f"{row.num_parameters:,}",
            f"{row.flops:,}",
            format_bytes(row.output_bytes),
        )
    return table
