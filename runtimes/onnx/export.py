"""Graph -> ModelProto."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from kcompile.ir.dims import Dim
from kcompile.ir.errors import ExportError
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.op import Array
from kcompile.ir.ops import ForeignCall
from kcompile.ir.ops.control import all_nodes
from kcompile.runtimes.onnx import (  # noqa: F401  the families fill the table
    activation,
    arithmetic,
    attention,
    bidirectional,
    bitwise,
    constant,
    control,
    convolution,
    cumulative,
    elementwise,
    foreign,
    gradient,
    hashing,
    indexing,
    layer_norm,
    linear,
    loss,
    normalization,
    pooling,
    quantization,
    random,
    rearrangement,
    recurrent,
    reduction,
    resizing,
    shape,
    sorting,
    strings,
    transposed,
    trigonometry,
)
from kcompile.runtimes.onnx.emitter import Emitter, OnnxGraph, OnnxNode, live, place
from kcompile.runtimes.onnx.file import OnnxFile
from kcompile.runtimes.onnx.kernels import ELEMENT_TYPES
from kcompile.runtimes.onnx.table import (
    FLOOR,
    LOWERINGS,
    REFUSALS,
    minimum_opset,
    preferred_opset,
)

#: The lowest IR version that may hold each opset (ONNX: docs/Versioning.md); onnxruntime 1.32
#: takes no later ones.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12} | {
    25: 13, 26: 13, 27: 13, 28: 14
}  # fmt: skip
#: The first IR version whose nodes have metadata.
NODE_METADATA = 10
#: LabelEncoder with lists of keys; onnxruntime has had it since 2019.
ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 2
#: A protobuf message ends below 2 GiB; the rest is room for everything that isn't a weight.
MAXIMUM_WEIGHT_BYTES = 2**31 - 2**24


def export_graph(
    graph: Graph, *, opset: int | None = None, metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """The ONNX model that computes `graph`, whose weights are constants.

    Args:
        graph: has DATA inputs only, and no updates.
        opset: of the model; by default the lowest that holds the graph's ops in their best forms,
            17 or later.
        metadata: goes into the model's `metadata_props`, sorted.

    Raises:
        ExportError: the graph has inputs or ops that a model for inference can't have, an op has
            no lowering for its element type, the opset is too low, or the file would reach 2 GiB.
    """
    _check(graph)
    metadata = metadata or {}
    file = export_file(graph, opset=opset, version=metadata.get("kcompile.version"))
    return with_metadata(file.to_model(), metadata)


def export_file(
    graph: Graph,
    *,
    opset: int | None = None,
    version: str | None = None,
    release: int | None = None,
) -> OnnxFile:
    """The ONNX file that computes `graph`, with the graph's own arrays as its weights.

    Args:
        graph, opset: as of `export_graph`.
        version: of kcompile; by default the installed one.
        release: the second number of the onnxruntime whose fastest forms it takes; by default the
            newest that was measured.

    Raises:
        ExportError: as from `export_graph`.
    """
    _check(graph)
    opset = choose_opset(graph) if opset is None else _check_opset(graph, opset)
    emitter = Emitter(graph, opset, release)
    emitter.lower()
    outputs = _outputs(emitter)
    names = _names(emitter, outputs)
    ir_version = IR_VERSIONS[emitter.opset]
    nodes = live(emitter.nodes, (value for _, value in outputs))
    model = helper.make_model(
        _graph(emitter, nodes, outputs, names, ir_version >= NODE_METADATA),
        opset_imports=_opsets(emitter),
        ir_version=ir_version,
        producer_name="kcompile",
        producer_version=_installed_version() if version is None else version,
        doc_string="kcompile",
    )
    return OnnxFile(model, _weights(emitter, nodes, names), emitter.choices)


def _opsets(emitter: Emitter) -> list[onnx.OperatorSetIdProto]:
    """ONNX's own, and that of its ops for classical machine learning if there is one."""
    opsets = [helper.make_opsetid("", emitter.opset)]
    if any("domain" in node.attributes for node in emitter.nodes):
        opsets.append(helper.make_opsetid(ML_DOMAIN, ML_OPSET))
    return opsets


def with_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """`model` with `metadata` put into its `metadata_props`, which are sorted; changes `model`."""
    merged = {entry.key: entry.value for entry in model.metadata_props} | dict(metadata)
    helper.set_model_props(model, dict(sorted(merged.items())))
    return model


def _installed_version() -> str:
    try:
        return importlib.metadata.version("kcompile")
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return ""


def _check(graph: Graph) -> None:
    where = f"graph '{graph.name}'"
    for entry in graph.inputs:
        if entry.role is not Role.DATA:
            raise ExportError(
                f"the {entry.role} input {entry.value} is no constant",
                where=where,
                hint="Bind the weights and turn the graph into one for inference first",
            )
    for update in graph.updates:
        raise ExportError(
            f"the state %{update.state.name} has an update, which a model can't hold", where=where
        )
    for node in all_nodes(graph):
        if type(node.op) not in LOWERINGS:
            reason = REFUSALS.get(type(node.op), "it has no lowering to ONNX")
            if isinstance(node.op, ForeignCall):
                reason = node.op.refusal
            raise ExportError(reason, where=place(graph, node))


def choose_opset(graph: Graph, latest: int = max(IR_VERSIONS)) -> int:
    """The lowest opset, up to the latest, that holds the graph's ops in their best forms."""
    nodes = list(all_nodes(graph))
    needed = max((minimum_opset(node.op) for node in nodes), default=FLOOR)
    return max(needed, min(latest, max((preferred_opset(node.op) for node in nodes), default=0)))


def _check_opset(graph: Graph, opset: int) -> int:
    if opset not in IR_VERSIONS:
        raise ExportError(
            f"opset {opset} is not one of {min(IR_VERSIONS)} to {max(IR_VERSIONS)}",
            where=f"graph '{graph.name}'",
        )
    for node in all_nodes(graph):
        if minimum_opset(node.op) > opset:
            raise ExportError(
                f"needs opset {minimum_opset(node.op)}, and opset {opset} is asked for",
                where=place(graph, node),
                hint="Ask for that one, or for none",
            )
    return opset


def _outputs(emitter: Emitter) -> list[tuple[str, Value]]:
    """Names and values of the outputs.

    An input, a weight or the value of another output is returned through a node of its own; only
    an input that is returned under its own name needs none.
    """
    inputs = {emitter.values[entry.name].name: entry.name for entry in emitter.graph.inputs}
    taken = {*inputs, *emitter.initializers}
    outputs = []
    for name, value in (
        (entry.name, emitter.values[entry.value.name]) for entry in emitter.graph.outputs
    ):
        if inputs.get(value.name) != name:
            if name in inputs.values():
                raise ExportError(
                    f"the output '{name}' has the name of an input, which ONNX does not allow",
                    where=f"graph '{emitter.graph.name}'",
                    hint="Rename the layer that makes the output",
                )
            if value.name in taken:
                value = emitter.emit("Identity", [value], value.type)
        taken.add(value.name)
        outputs.append((name, value))
    return outputs


def _names(emitter: Emitter, outputs: Iterable[tuple[str, Value]]) -> dict[str, str]:
    """A unique name for each key: inputs and outputs keep theirs, then weights and values."""
    names = {emitter.values[entry.name].name: entry.name for entry in emitter.graph.inputs}
    names.update((value.name, name) for name, value in outputs)
    unique = Unique(names.values())
    named = [key for key in emitter.wishes if key in emitter.named]
    helpers = [key for key in emitter.wishes if key not in emitter.named]
    for key in (*named, *helpers):
        if key not in names:
            names[key] = unique(emitter.wishes[key])
    return names


class Unique:
    """Makes names unique by a number behind them."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def __call__(self, wish: str) -> str:
        name = wish
        while name in self._taken:
            self._next[wish] = self._next.get(wish, 0) + 1
            name = f"{wish}_{self._next[wish]}"
        self._taken.add(name)
        return name


def _weights(
    emitter: Emitter, nodes: Iterable[OnnxNode], names: Mapping[str, str]
) -> dict[str, Array]:
    """The initializers that are used, by name."""
    used = set[str]().union(*(node.operands for node in nodes))
    weights = {names[key]: array for key, array in emitter.initializers.items() if key in used}
    if sum(array.nbytes for array in weights.values()) > MAXIMUM_WEIGHT_BYTES:
        raise ExportError(
            "the weights don't fit a single file, which ends at 2 GiB",
            where=f"graph '{emitter.graph.name}'",
        )
    return weights


def _graph(
    emitter: Emitter,
    nodes: tuple[OnnxNode, ...],
    outputs: list[tuple[str, Value]],
    names: Mapping[str, str],
    with_node_metadata: bool,
) -> onnx.GraphProto:
    """The graph without its initializers."""
    write = _Writer(names, Unique(), with_node_metadata)
    inputs = [emitter.values[entry.name] for entry in emitter.graph.inputs]
    returned = tuple(value for _, value in outputs)
    return write.graph(OnnxGraph(emitter.graph.name, tuple(inputs), nodes, returned))


@dataclass(frozen=True)
class _Writer:
    """Writes graphs and nodes whose values have names by now."""

    names: Mapping[str, str]
    unique: Unique
    with_node_metadata: bool

    def graph(self, graph: OnnxGraph) -> onnx.GraphProto:
        returned = {value.name for value in graph.outputs}
        made = (value for node in graph.nodes for value in node.outputs)
        return helper.make_graph(
            [self.node(node) for node in graph.nodes],
            graph.name,
            [self.value(value) for value in graph.inputs],
            [self.value(value) for value in graph.outputs],
            value_info=[self.value(value) for value in made if value.name not in returned],
        )

    def value(self, value: Value) -> onnx.ValueInfoProto:
        sizes = [str(size) if isinstance(size, Dim) else size for size in value.type.shape]
        return helper.make_tensor_value_info(
            self.names[value.name], ELEMENT_TYPES[value.type.dtype], sizes
        )

    def node(self, node: OnnxNode) -> onnx.NodeProto:
        attributes = {
            key: self.graph(value) if isinstance(value, OnnxGraph) else value
            for key, value in node.attributes.items()
        }
        proto = helper.make_node(
            node.op_type,
            ["" if value is None else self.names[value.name] for value in node.inputs],
            [self.names[value.name] for value in node.outputs],
            name=self.unique(f"{node.source}/{node.op_type}" if node.source else node.op_type),
            **attributes,
        )
        if self.with_node_metadata and node.source:
            helper.set_model_props(proto, {"kcompile.layer": node.source})
        return proto
