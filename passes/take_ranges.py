"""Ranges that were learnt in training, out of the graph."""

from __future__ import annotations

from kcompile.ir import ops
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.types import DType
from kcompile.passes.constants import compute
from kcompile.passes.journal import record_change
from kcompile.passes.rebuild import Operands, Rebuild, rebuild


def take_ranges(graph: Graph) -> tuple[Graph, dict[str, tuple[float, int]]]:
    """`fake_quantize(x, scale, zero_point) = x`, and scale and zero point of each such x as u8.

    Args:
        graph: after the passes for its target; what is rounded there by constants for all of x.
    """
    found: dict[str, tuple[float, int]] = {}

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if node.op != ops.FakeQuantize(DType.UINT8):
            return None
        x, scale, zero_point = operands
        if x is None or scale is None or not new.is_known(scale) or not new.is_known(zero_point):
            return None
        assert zero_point is not None
        numbers = float(compute(scale, new)), int(compute(zero_point, new))
        found.setdefault(x.name, numbers)
        record_change("take_ranges")
        return (x,)

    taken = rebuild(graph, transform)
    names = {entry.name for entry in taken.inputs}
    names |= {value.name for node in taken.nodes for value in node.outputs}
    return taken, {name: numbers for name, numbers in found.items() if name in names}
