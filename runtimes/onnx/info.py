"""Facts about a model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import onnx
from onnx import TensorProto


def model_info(model: onnx.ModelProto) -> dict[str, Any]:
    """Numbers of nodes and bytes, ops, versions, inputs and outputs of `model`.

    Keys: `num_nodes`, `ops` (op type -> number of nodes, most frequent first), `num_initializers`,
    `num_bytes`, `opset`, `ir_version`, `inputs` and `outputs` (name -> `FLOAT[batch,3]`).
    """
    counts = Counter(node.op_type for node in model.graph.node)
    return {
        "num_nodes": len(model.graph.node),
        "ops": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "num_initializers": len(model.graph.initializer),
        "num_bytes": model.ByteSize(),
        "opset": next(entry.version for entry in model.opset_import if not entry.domain),
        "ir_version": model.ir_version,
        "inputs": {value.name: _type(value) for value in model.graph.input},
        "outputs": {value.name: _type(value) for value in model.graph.output},
    }


def _type(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    sizes = (dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
    return f"{TensorProto.DataType.Name(tensor.elem_type)}[{','.join(sizes)}]"
