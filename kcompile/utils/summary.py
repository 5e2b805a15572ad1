"""`model.summary()`: a table of the layers, and how many parameters there are."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kcompile.layers.base import Layer
from kcompile.layers.core import InputLayer
from kcompile.models import Model, Sequential
from kcompile.ops.structure import leaves
from kcompile.ops.variable import Variable
from kcompile.utils.units import format_bytes

DEFAULT_LINE_LENGTH = 80
WIDE_LINE_LENGTH = 100
#: The most connections that a row lists.
MAX_CONNECTIONS = 5


def print_summary(
    model: Model,
    line_length: int | None = None,
    print_fn: Callable[[str], Any] | None = None,
) -> None:
    """Print the layers with output shapes, numbers of parameters and connections.

    Args:
        model: built or not; what is not known yet is shown as `?`.
        line_length: width of the table in characters.
        print_fn: takes the text instead of the standard output.
    """
    sequential = isinstance(model, Sequential)
    width = line_length or (DEFAULT_LINE_LENGTH if sequential else WIDE_LINE_LENGTH)
    stream = io.StringIO()
    # A file of ours: no colours, whatever the terminal is.
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    console.print(f"Model: {model.name!r}", markup=False, highlight=False)
    console.print(_table(model, connections=not sequential))
    for label, variables in (
        ("Total params", model.weights),
        ("Trainable params", model.trainable_weights),
        ("Non-trainable params", model.non_trainable_weights),
    ):
        console.print(f" {label}: {_counted(variables)}", markup=False, highlight=False)
    (print_fn or print)(stream.getvalue().rstrip("\n"))


def _table(model: Model, connections: bool) -> Table:
    table = Table(box=box.SQUARE, expand=True, show_lines=True)
    table.add_column("Layer (type)", ratio=4, overflow="fold")
    table.add_column("Output Shape", ratio=4, overflow="fold")
    table.add_column("Param #", ratio=2, justify="right", overflow="fold")
    if connections:
        table.add_column("Connected to", ratio=3, overflow="fold")
    own = set(getattr(model, "call_nodes", ()))
    for operation in getattr(model, "operations", model.layers):
        nodes = [node for node in operation.nodes if node in own]
        is_layer = isinstance(operation, Layer)
        kind = type(operation).__name__ if is_layer else "function"
        cells = [
            f"{operation.name} ({kind})",
            _shapes(nodes or operation.nodes[:1]),
            _num_parameters(operation) if is_layer else "0",
        ]
        if connections:
            cells.append(_connections(nodes))
        table.add_row(*map(escape, cells))
    return table


def _shapes(nodes: Iterable[Any]) -> str:
    """The shapes of the results of calls, each once."""
    shapes = [str(t.shape) for node in nodes for t in leaves(node.outputs) if t is not None]
    return ", ".join(dict.fromkeys(shapes)) or "?"


def _num_parameters(layer: Layer) -> str:
    if not layer.built and not isinstance(layer, InputLayer):
        return "? (unbuilt)"
    return f"{layer.count_params():,}"


def _connections(nodes: Iterable[Any]) -> str:
    tensors = [tensor for node in nodes for tensor in node.inputs]
    names = [f"{t.node.operation.name}[{t.node.index}][{t.index}]" for t in tensors]
    more = len(names) - MAX_CONNECTIONS
    return ", ".join(names[:MAX_CONNECTIONS]) + (f", and {more} more" if more > 0 else "")


def _counted(variables: Iterable[Variable]) -> str:
    """`1,234 (4.82 KB)`."""
    counts = [(math.prod(v.shape), v.type.dtype.numpy.itemsize) for v in variables]
    number = sum(count for count, _ in counts)
    return f"{number:,} ({format_bytes(sum(count * size for count, size in counts))})"
