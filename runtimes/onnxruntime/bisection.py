"""Where a file goes wrong: the first value that is not what compiling the model gives now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.op import Array
from kcompile.runtimes.onnx.export import IR_VERSIONS, export_graph
from kcompile.runtimes.onnx.table import minimum_opset
from kcompile.runtimes.onnxruntime.expectation import Run
from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable
from kcompile.runtimes.onnxruntime.verification import compare

#: So many values are looked at in one run: all at once may not fit into memory.
CHUNK = 32


def first_difference(graph: Graph, path: Path, runs: Sequence[Run]) -> str:
    """Which value of an ONNX file is the first to differ, and what is changed in its node.

    The file and a fresh export run side by side, with optimizations off, and return their values
    32 at a time.

    Args:
        graph: the model after the passes that an export has.
        path: the file, whose outputs were found to be wrong.
        runs: give the inputs.
    """
    actual = onnx.load(path)
    expected = export_graph(graph, opset=_opset(graph, actual))
    makers, expected_makers = _makers(actual), _makers(expected)
    shared = [name for name in expected_makers if name in makers]
    if not shared:
        return (
            "The file was not made by kcompile from this model: no value has the same name,"
            " so that none can be said to be the first to differ"
        )
    for run in runs:
        for start in range(0, len(shared), CHUNK):
            names = shared[start : start + CHUNK]
            found = _first_of(names, _values(actual, names, run), _values(expected, names, run))
            if found is not None:
                name, reason = found
                node = makers[name]
                changes = _changes(node, expected_makers[name], actual, expected)
                return ". ".join([_describe(name, node, reason), *_sentence(changes)])
    return (
        "No value differs where onnxruntime optimizes nothing: its optimizations do, or what"
        " kcompile itself makes of the model (compile it with --check-passes)"
    )


def _opset(graph: Graph, model: onnx.ModelProto) -> int | None:
    """The opset of the file, if the graph can be exported to it."""
    found = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    needed = max((minimum_opset(node.op) for node in graph.nodes), default=0)
    return found if found in IR_VERSIONS and found >= needed else None


def _makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each value, in the order in which they run."""
    return {name: node for node in model.graph.node for name in node.output if name}


def _values(model: onnx.ModelProto, names: Sequence[str], run: Run) -> dict[str, Array]:
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = OnnxRuntimeExecutable(
        part.SerializeToString(), optimization="off", threads=1, arena=False
    )
    return session.run({entry.name: run.inputs[entry.name] for entry in session.inputs})


def _first_of(
    names: Iterable[str], actual: Mapping[str, Array], expected: Mapping[str, Array]
) -> tuple[str, str] | None:
    for name in names:
        try:
            compare(actual[name], expected[name], f"'{name}'")
        except VerifyError as error:
            return name, error.message
    return None


def _describe(name: str, node: onnx.NodeProto, reason: str) -> str:
    layer = node.name.rpartition("/")[0]
    of_layer = f", of layer '{layer}'" if layer else ""
    return f"The first value to differ is '{name}'{of_layer}, which {node.op_type} makes: {reason}"


def _sentence(changes: Iterator[str]) -> list[str]:
    found = list(changes)
    return [f"In the file {', '.join(found)}"] if found else []


def _changes(
    node: onnx.NodeProto,
    expected: onnx.NodeProto,
    model: onnx.ModelProto,
    expected_model: onnx.ModelProto,
) -> Iterator[str]:
    """What is otherwise about a node, and about the weights that it takes."""
    if node.op_type != expected.op_type:
        yield f"it is made by {node.op_type} and not by {expected.op_type}"
    if list(node.input) != list(expected.input):
        yield f"the inputs are {list(node.input)} and not {list(expected.input)}"
    yield from _changes_of_attributes(node, expected)
    weights, expected_weights = _weights(model), _weights(expected_model)
    for name in node.input:
        if name in weights and name in expected_weights:
            yield from _changes_of_weight(name, weights[name], expected_weights[name])


def _weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {weight.name: weight for weight in model.graph.initializer}


def _changes_of_attributes(node: onnx.NodeProto, expected: onnx.NodeProto) -> Iterator[str]:
    found = {entry.name: entry for entry in node.attribute}
    wanted = {entry.name: entry for entry in expected.attribute}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            yield f"{name} is {_shown(found.get(name))} and not {_shown(wanted.get(name))}"


def _shown(attribute: onnx.AttributeProto | None) -> str:
    if attribute is None:
        return "left out"
    if attribute.type == onnx.AttributeProto.GRAPH:
        return "a sub-graph"
    return str(helper.get_attribute_value(attribute))


def _changes_of_weight(
    name: str, found: onnx.TensorProto, expected: onnx.TensorProto
) -> Iterator[str]:
    array, wanted = numpy_helper.to_array(found), numpy_helper.to_array(expected)
    if array.shape != wanted.shape or array.dtype != wanted.dtype:
        yield (
            f"the weight '{name}' is {array.dtype}{list(array.shape)}"
            f" and not {wanted.dtype}{list(wanted.shape)}"
        )
    elif count := int(np.count_nonzero(array != wanted)):
        yield f"the weight '{name}' differs in {count} of {array.size} elements"
