"""Models to graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.ir.dims import Size
from kcompile.ir.graph import Graph
from kcompile.ops.trace import Trace, with_equal_sizes

if TYPE_CHECKING:
    from kcompile.models.model import Model


def trace_model(model: Model, training: bool = False) -> Graph:
    """The graph of `model`: its inputs, its weights by path, its outputs by layer name."""

    def build(equal: dict[str, Size]) -> Graph:
        trace = Trace(model.name, training=training, names=names_of(model))
        outputs = trace_outputs(model, trace, equal)
        return trace.finish(outputs)

    return with_equal_sizes(build)


def names_of(model: Model) -> dict[Any, str]:
    """The unique path of each weight of `model`."""
    return {variable: path for path, variable in model.named_weights().items()}


def trace_outputs(
    model: Model, trace: Trace, equal: dict[str, Size] | None = None
) -> list[tuple[str, Any]]:
    """The named outputs of `model` in `trace`, on DATA inputs made there."""
    with trace.active():
        types = model.input_types()
        inputs = [trace.input(name, type.substitute(equal or {})) for name, type in types]
        return model.call_flat(inputs, trace)
