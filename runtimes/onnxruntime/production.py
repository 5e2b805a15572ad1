"""From a graph and its weights to a verified ONNX file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kcompile.ir.graph import Graph
from kcompile.ir.op import Array
from kcompile.ir.printer import print_graph
from kcompile.passes.bind_weights import bind_weights
from kcompile.passes.pipelines import ONNX, Check, Insertion, LogEntry, run_pipeline
from kcompile.passes.to_inference import to_inference
from kcompile.runtimes.onnxruntime.expectation import Expectation, expect

#: Weights of fewer bytes are kept until the file is verified; more are read again, in doubt.
_KEPT_BYTES = 2**26


@dataclass(frozen=True)
class Origin:
    """What a graph for ONNX was made from. It does not hold the weights.

    Attributes:
        log: what each pass did.
        metadata: for the file.
        expectation: what the file has to compute; None if that is not to be verified.
    """

    log: tuple[LogEntry, ...]
    metadata: dict[str, str]
    expectation: Expectation | None


def optimize(
    graph: Graph,
    arrays: dict[str, Array],
    passes: Sequence[Insertion],
    verify: bool,
    again: Callable[[], tuple[Graph, dict[str, Array]]],
    check: Check | None = None,
) -> tuple[Graph, Origin]:
    """`graph` with its weights after the passes for ONNX, and where it comes from.

    Args:
        graph: at inference.
        arrays: the weights by name. The dict is emptied, so that none is kept longer than needed.
        passes: the user's.
        verify: whether to compute what the file has to compute.
        again: gives graph and weights once more.
        check: of each pass.

    Raises:
        PassError: a pass failed, or its check.
    """
    from kcompile import __version__

    expectation = _expectation(graph, arrays, again) if verify else None
    metadata = {
        "kcompile.version": __version__,
        "kcompile.spec.sha256": hashlib.sha256(print_graph(graph).encode()).hexdigest(),
        "kcompile.weights.sha256": weights_digest(arrays),
    }
    result = run_pipeline(
        graph, ONNX, arguments={"weights": _take(arrays)}, extra=passes, check=check
    )
    metadata["kcompile.passes"] = _pass_log(result.log)
    return result.graph, Origin(result.log, metadata, expectation)


def _expectation(
    graph: Graph,
    arrays: Mapping[str, Array],
    again: Callable[[], tuple[Graph, dict[str, Array]]],
) -> Expectation:
    def source() -> Graph:
        graph, arrays = again()
        return bind_weights(to_inference(graph), arrays)

    is_small = sum(array.nbytes for array in arrays.values()) < _KEPT_BYTES
    return expect(bind_weights(to_inference(graph), arrays), again=None if is_small else source)


def _take(arrays: dict[str, Array]) -> dict[str, Array]:
    taken = dict(arrays)
    arrays.clear()
    return taken


def write_file(
    graph: Graph, origin: Origin, opset: int | None, release: str | None, file: BinaryIO
) -> dict[str, Any]:
    """Write the file but for its metadata; what is said of it in a report.

    Args:
        graph: what to write.
        origin: where it comes from.
        opset: of the file; by default the lowest that will do.
        release: `onnxruntime==1.20`, if it has to take the file.
        file: where to.

    Raises:
        ExportError: ONNX, the opset or the release cannot hold the graph.
        VerifyError: it is no valid ONNX model.
    """
    from kcompile.runtimes.onnx.export import choose_opset, export_file
    from kcompile.runtimes.onnx.info import model_info

    number = None
    if release is not None:
        from kcompile.runtimes.onnx.releases import check_release, parse_release

        limits = parse_release(release)
        check_release(graph, opset, limits)
        opset = opset or choose_opset(graph, limits.opset)
        number = limits.number
    exported = export_file(
        graph, opset=opset, version=origin.metadata["kcompile.version"], release=number
    )
    if origin.expectation is not None:
        exported.check()
    exported.write(file)
    info = model_info(exported.model)
    kept = ("ops", "opset", "ir_version", "inputs", "outputs")
    forms = [{**asdict(choice), "count": count} for choice, count in exported.choices.items()]
    return {"nodes": info["num_nodes"], **{key: info[key] for key in kept}, "forms": forms}


def finish_file(origin: Origin, model: bytes | Path) -> tuple[dict[str, str], bytes]:
    """Verify what was written: how that went, and the metadata that the file ends with.

    Args:
        origin: where the model comes from.
        model: the file so far: its contents, or its path.

    Raises:
        VerifyError: it computes something else.
    """
    from kcompile.runtimes.onnx.file import metadata_bytes

    verification = {"kcompile.verification": "not verified"}
    if origin.expectation is not None:
        from kcompile.runtimes.onnxruntime.verification import verify_file

        verification = verify_file(origin.expectation, model).as_metadata()
    return verification, metadata_bytes({**origin.metadata, **verification})


def weights_digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 of names, types and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype}\0{arrays[name].shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _pass_log(log: Sequence[LogEntry]) -> str:
    """What each pass changed, without what depends on the machine."""
    entries = [
        {"pass": e.name, "nodes": [e.num_nodes_before, e.num_nodes_after], **dict(e.changes)}
        for e in log
    ]
    return json.dumps(entries, separators=(",", ":"), sort_keys=True)
