"""compile: a model or graph to something that runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.ir.errors import ExportError, SpecError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.printer import print_graph

if TYPE_CHECKING:
    from kcompile.models import Model
    from kcompile.passes.pipelines import Insertion, LogEntry

TARGETS = ("onnx", "xla", "reference")


class Executable:
    """A compiled model.

    Attributes:
        target: `onnx`, `xla` or `reference`.
        graph: the graph that the target got, after the passes.
        report: what was done: `target`, `graph` (name), `parameters`, `nodes`, `passes`, and for
            onnx `opset`, `ir_version`, `file_bytes`, `ops`, `verification`.
        log: what each pass did.
    """

    def __init__(
        self,
        target: str,
        graph: Graph,
        run: Callable[[Any], dict[str, np.ndarray[Any, Any]]],
        report: dict[str, Any],
        log: tuple[LogEntry, ...],
        data: bytes | None = None,
    ) -> None:
        self.target = target
        self.graph = graph
        self.report = report
        self.log = log
        self._run = run
        self._data = data
        #: Keys of a dict of inputs, and the names of these inputs.
        self.input_names: dict[str, str] = {}

    def run(self, inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs by name.

        Args:
            inputs: an array, a sequence of arrays, or arrays by input name; for a model that was
                defined with a dict of inputs also by its keys.

        Raises:
            DataError: they do not fit the inputs.
        """
        if not isinstance(inputs, (Mapping, list, tuple)):
            inputs = [inputs]
        if isinstance(inputs, Mapping) and set(inputs) == set(self.input_names):
            inputs = {self.input_names[key]: array for key, array in inputs.items()}
        return self._run(inputs)

    def to_bytes(self) -> bytes:
        """The file's contents.

        Raises:
            ExportError: the target has no file form.
        """
        if self._data is None:
            raise ExportError(f"the target '{self.target}' has no file form yet")
        return self._data

    def save(self, path: str | Path) -> None:
        """Write the file, or leave what was there as it was.

        Raises:
            ExportError: the target has no file form.
        """
        from kcompile.utils.atomic import write_bytes

        write_bytes(Path(path), self.to_bytes())

    def __repr__(self) -> str:
        return f"<Executable {self.target} of '{self.graph.name}'>"


def compile(
    model: Model | Graph,
    target: str = "onnx",
    path: str | Path | None = None,
    *,
    weights: Mapping[str, Any] | None = None,
    opset: int | None = None,
    sizes: Mapping[str, int] | None = None,
    passes: Sequence[Insertion] = (),
    verify: bool = True,
) -> Executable:
    """Compile a model for inference.

    Args:
        model: a model, or a graph.
        target: `onnx` (a file, run by onnxruntime), `xla`, or `reference` (plain NumPy).
        path: where to save the file; nothing is written if compiling or verifying fails.
        weights: arrays by weight path; the model's own by default. A graph needs them.
        opset: of the ONNX file; by default the lowest that holds the graph's ops, 17 or later.
        sizes: numbers for symbolic sizes, such as `{"batch": 1}`.
        passes: the user's passes and where they go.
        verify: whether the ONNX file is run and held against the reference before it is kept.

    Raises:
        SpecError: the target is unknown, or weights are missing.
        ExportError: the target cannot hold the model.
        PassError: a pass failed.
        VerifyError: the file computes something else than the model.
    """
    if target not in TARGETS:
        raise SpecError(f"{target!r} is not a target", hint=f"Use one of {', '.join(TARGETS)}")
    graph = model if isinstance(model, Graph) else model.graph(training=False)
    _require_stateless(model)
    arrays = _weights(model, graph, weights)
    if target == "onnx":
        executable = _compile_onnx(graph, arrays, opset, sizes, passes, verify)
    elif opset is not None:
        raise SpecError(f"the target '{target}' has no opset")
    else:
        executable = _compile_graph(target, graph, arrays, sizes, passes)
    if not isinstance(model, Graph) and isinstance(model.input_structure, dict):
        executable.input_names = dict(
            zip(sorted(model.input_structure), model.input_names, strict=True)
        )
    if path is not None:
        executable.save(path)
    return executable


def export(model: Model, filepath: str | Path, format: str = "onnx", **options: Any) -> None:
    """Compile a model to a file; what `Model.export` calls."""
    if format != "onnx":
        raise NotImplementedError(f"export to {format!r} is not there; 'onnx' is")
    compile(model, "onnx", filepath, **options)


def _require_stateless(model: Model | Graph) -> None:
    carried = None if isinstance(model, Graph) else next(model.all_carried_variables(), None)
    if carried is not None:
        raise ExportError(
            "what it keeps from call to call would be lost",
            where=f"state '{carried.path}'",
            hint="Make the layer with stateful=False and return_state=True, and its initial_state"
            " an input of the model",
        )


def _weights(
    model: Model | Graph, graph: Graph, weights: Mapping[str, Any] | None
) -> dict[str, np.ndarray[Any, Any]]:
    """The array of each weight in the graph."""
    if weights is None:
        weights = {} if isinstance(model, Graph) else model.named_weights()
    needed = [entry.name for entry in graph.inputs_with(Role.PARAM, Role.STATE)]
    missing = [name for name in needed if name not in weights]
    if missing:
        raise SpecError(
            f"the weight '{missing[0]}' is missing ({len(missing)} of {len(needed)})",
            where=f"graph '{graph.name}'",
            hint="Pass weights={path: array}",
        )
    return {name: np.asarray(weights[name]) for name in needed}


def _report(target: str, graph: Graph, arrays: Mapping[str, Any], log: Any) -> dict[str, Any]:
    return {
        "target": target,
        "graph": graph.name,
        "parameters": sum(int(array.size) for array in arrays.values()),
        "nodes": len(graph.nodes),
        "passes": [
            {
                "name": entry.name,
                "nodes_before": entry.num_nodes_before,
                "nodes_after": entry.num_nodes_after,
                "changes": dict(entry.changes),
            }
            for entry in log
        ],
    }


def _compile_graph(
    target: str,
    graph: Graph,
    arrays: dict[str, Any],
    sizes: Mapping[str, int] | None,
    passes: Sequence[Insertion],
) -> Executable:
    """For a runtime that runs our graphs as they are."""
    from kcompile.passes.pipelines import INFERENCE, run_pipeline

    result = run_pipeline(graph, INFERENCE, arguments={"sizes": sizes}, extra=passes)
    names = {entry.name for entry in result.graph.inputs}
    kept = {name: array for name, array in arrays.items() if name in names}
    if target == "xla":
        from kcompile.runtimes.jax.executable import JaxExecutable

        run = JaxExecutable(result.graph, kept).run
    else:
        from kcompile.runtimes.reference import ReferenceExecutable

        run = ReferenceExecutable(result.graph, kept).run
    report = _report(target, result.graph, arrays, result.log)
    return Executable(target, result.graph, run, report, result.log)


def _compile_onnx(
    graph: Graph,
    arrays: dict[str, Any],
    opset: int | None,
    sizes: Mapping[str, int] | None,
    passes: Sequence[Insertion],
    verify: bool,
) -> Executable:
    """For onnxruntime: the file, and what it was held against."""
    from kcompile import __version__
    from kcompile.passes.bind_weights import bind_weights
    from kcompile.passes.pipelines import ONNX, run_pipeline
    from kcompile.passes.specialize import specialize
    from kcompile.passes.to_inference import to_inference
    from kcompile.runtimes.onnx.export import export_graph, with_metadata
    from kcompile.runtimes.onnx.info import model_info

    result = run_pipeline(graph, ONNX, arguments={"weights": arrays, "sizes": sizes}, extra=passes)
    metadata = {
        "kcompile.version": __version__,
        "kcompile.spec.sha256": hashlib.sha256(print_graph(graph).encode()).hexdigest(),
        "kcompile.weights.sha256": weights_digest(arrays),
        "kcompile.passes": _pass_log(result.log),
    }
    model = export_graph(result.graph, opset=opset, metadata=metadata)
    verification = {"kcompile.verification": "not verified"}
    if verify:
        from kcompile.runtimes.onnxruntime.verification import verify_model

        source = bind_weights(to_inference(specialize(graph, sizes) if sizes else graph), arrays)
        verification = verify_model(source, model).as_metadata()
    with_metadata(model, verification)
    info = model_info(model)
    data = model.SerializeToString(deterministic=True)
    report = _report("onnx", result.graph, arrays, result.log) | {
        "nodes": info["num_nodes"],
        "ops": info["ops"],
        "opset": info["opset"],
        "ir_version": info["ir_version"],
        "file_bytes": len(data),
        "verification": verification,
    }
    return Executable("onnx", result.graph, _LazySession(data).run, report, result.log, data)


class _LazySession:
    """onnxruntime on a file's contents, started at the first run."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._session: Any = None

    def run(self, inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
        if self._session is None:
            from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable

            self._session = OnnxRuntimeExecutable(self._data)
        return self._session.run(inputs)


def weights_digest(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of names, types and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _pass_log(log: Sequence[LogEntry]) -> str:
    """What each pass changed, without what depends on the machine."""
    entries = [
        {"pass": e.name, "nodes": [e.num_nodes_before, e.num_nodes_after], **dict(e.changes)}
        for e in log
    ]
    return json.dumps(entries, separators=(",", ":"), sort_keys=True)


def as_function(model: Model) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """The model as a pure JAX function: `outputs, state = fn(params, state, x, ...)`.

    `params` and `state` are dicts of arrays by weight path, as `model.init(seed)` gives them. x has
    the structure of the model's inputs and the outputs that of its outputs. `fn` takes
    `training=False` and `rng=None`, a JAX key, which dropout in training needs. It can be given to
    `jax.jit` (with `training` static), `jax.grad`, `jax.vmap` and optax like any JAX function; the
    returned state holds the next values, such as BatchNormalization's statistics.

    Raises:
        SpecError: the model does not know its inputs yet.
    """
    from kcompile.runtimes.jax.function import pure_function

    model.input_types()
    return pure_function(model)
