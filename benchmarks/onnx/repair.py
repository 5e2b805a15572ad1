"""Makes of a file that onnxruntime refuses one that it runs, so that its speed can be compared.

    python benchmarks/onnx/repair.py FILE REPAIRED

Two faults of tf2onnx 1.17 are known. `Erfc`, which no version of ONNX has, becomes 1 - Erf. Inputs
that no node reads, left over from folding constants, go. Nothing else changes; a file without these
faults is not written again.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper


def spell_erfc(graph: onnx.GraphProto) -> bool:
    """Erfc(x) = 1 - Erf(x)"""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        inner = f"{node.output[0]}/erf"
        nodes.append(helper.make_node("Erf", node.input, [inner]))
        nodes.append(helper.make_node("Sub", ["one_of_erfc", inner], node.output))
    is_changed = len(nodes) != len(graph.node)
    if is_changed:
        graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one_of_erfc"))
        del graph.node[:]
        graph.node.extend(nodes)
    return is_changed


def drop_unread_inputs(graph: onnx.GraphProto) -> bool:
    read = {name for node in graph.node for name in node.input}
    kept = [value for value in graph.input if value.name in read]
    is_changed = len(kept) != len(graph.input)
    if is_changed:
        del graph.input[:]
        graph.input.extend(kept)
    return is_changed


if __name__ == "__main__":
    model = onnx.load(sys.argv[1])
    changes = [spell_erfc(model.graph), drop_unread_inputs(model.graph)]
    if any(changes):
        onnx.save(model, sys.argv[2])
