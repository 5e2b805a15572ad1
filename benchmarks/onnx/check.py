"""What is in an ONNX file, and whether onnxruntime computes with it what Keras does.

python benchmarks/onnx/check.py FILE SAMPLES.npz     prints JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

BATCHES = (1, 3, 32)
#: Above this share of the largest output a file computes something else.
TOLERANCE = 1e-3


def feeds(session: onnxruntime.InferenceSession, samples: Any, batch: int) -> dict[str, Any]:
    """The first `batch` samples, repeated where there are fewer, by name or, where those differ,
    by position."""
    names = [str(name) for name in samples["names"]]
    wanted = [value.name for value in session.get_inputs()]
    if len(wanted) != len(names):
        raise ValueError(f"the file has {len(wanted)} inputs, the model {len(names)}: {wanted}")
    is_named = set(wanted) == set(names)
    order = [names.index(name) for name in wanted] if is_named else range(len(names))
    rows = np.arange(batch)
    arrays = [samples[f"in_{index}"] for index in order]
    return {name: array[rows % len(array)] for name, array in zip(wanted, arrays, strict=True)}


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Its nodes and those of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def contents(path: Path) -> dict[str, Any]:
    model = onnx.load(path, load_external_data=False)
    nodes = list(nodes_of(model.graph)) + [n for f in model.functions for n in f.node]
    files = [path, *path.parent.glob(f"{path.name}*data")]
    return {
        "nodes": len(nodes),
        "transposes": sum(node.op_type == "Transpose" for node in nodes),
        "bytes": sum(file.stat().st_size for file in files),
    }


def difference(session: onnxruntime.InferenceSession, samples: Any, batch: int) -> float:
    """The largest, as a share of the largest output of Keras."""
    (output,) = session.run(None, feeds(session, samples, batch))
    expected = samples["out_0"][np.arange(batch) % len(samples["out_0"])]
    if output.shape != expected.shape:
        raise ValueError(f"the output is {output.shape}, Keras's {expected.shape}")
    return float(np.max(np.abs(output - expected)) / np.max(np.abs(expected)))


def outcome(path: Path, samples: Any) -> dict[str, Any]:
    """The batches that work, the largest difference, and what was wrong, if anything.

    Raises nothing: what onnxruntime says of a bad file is the result.
    """
    batches: list[int] = []
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for batch in BATCHES:
            largest = max(largest, difference(session, samples, batch))
            if largest > TOLERANCE:
                raise ValueError(f"it computes something else, by {largest:.1e}")
            batches.append(batch)
    except Exception as error:  # onnxruntime's are of many types without a common one
        return {"batches": batches, "difference": largest, "error": str(error)[:500]}
    return {"batches": batches, "difference": largest}


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(4)
    file = Path(sys.argv[1])
    with np.load(sys.argv[2]) as arrays:
        print(json.dumps(contents(file) | outcome(file, dict(arrays))))
