"""compile: a model or graph to something that runs."""

from __future__ import annotations

import functools
import gc
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kcompile.executable import Executable, Runtime
from kcompile.ir.errors import ExportError, SpecError, VerifyError
from kcompile.ir.graph import Graph, Role

if TYPE_CHECKING:
    from kcompile.models import Model
    from kcompile.passes.interface import Interface
    from kcompile.passes.pipelines import Insertion, LogEntry
    from kcompile.runtimes.onnxruntime.translation import PassCheck

TARGETS = ("onnx", "xla", "reference")
#: Models with more are let go at once, and not when Python comes to it.
MANY_PARAMETERS = 2**20


def compile(
    model: Model | Graph,
    target: str = "onnx",
    path: str | Path | None = None,
    *,
    weights: Mapping[str, Any] | None = None,
    opset: int | None = None,
    sizes: Mapping[str, int] | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    inputs_as_nchw: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    passes: Sequence[Insertion] = (),
    verify: bool = True,
    check_passes: bool = False,
) -> Executable:
    """Compile a model for inference.

    Args:
        model: a model, or a graph.
        target: `onnx` (a file, run by onnxruntime), `onnxruntime==1.20` (a file that this release
            takes), `xla`, or `reference` (plain NumPy).
        path: where to save the file; nothing is written if compiling or verifying fails. For `xla`,
            the number of rows must be fixed, by `sizes`; `Executable.save` takes several.
        weights: arrays by weight path; the model's own by default. A graph needs them.
        opset: of the ONNX file; by default the lowest that holds the graph's ops, 17 or later.
        sizes: numbers for symbolic sizes, such as `{"batch": 1}`.
        shapes: numbers for the symbolic sizes of inputs, by their names; None leaves one open.
        inputs_as_nchw: names of inputs that are `[N, C, S...]` for the target, while the model has
            them as `[N, S..., C]`.
        rename: new names of inputs and outputs, by the old ones.
        passes: the user's passes and where they go.
        verify: whether the ONNX file is run and held against the reference before it is kept.
        check_passes: whether the graph before and after each pass, the user's included, is run on
            drawn inputs; slow, for finding the pass that is wrong.

    Raises:
        SpecError: the target is unknown, weights are missing, or an input or output is.
        ExportError: the target cannot hold the model.
        PassError: a pass failed, or changed what the graph computes.
        VerifyError: the file computes something else than the model.
    """
    from kcompile.passes.interface import Interface

    interface = Interface(sizes or {}, shapes or {}, inputs_as_nchw, rename or {})
    kind, release = split_target(target)
    if kind == "onnx":
        executable = _compile_onnx(
            model, weights, interface, passes, verify, opset, release, check_passes
        )
    elif opset is not None:
        raise SpecError(f"the target '{target}' has no opset")
    else:
        executable = _compile_graph(kind, *_traced(model, weights, interface), passes, check_passes)
    if not isinstance(model, Graph) and isinstance(model.input_structure, dict):
        names = [interface.names.get(name, name) for name in model.input_names]
        executable.input_names = dict(zip(sorted(model.input_structure), names, strict=True))
    if path is not None:
        executable.save(path)
    return executable


def split_target(target: str) -> tuple[str, str | None]:
    """The kind of a target, and the release of onnxruntime that it names.

    Raises:
        SpecError: there is no such target, or no such release.
    """
    if target.startswith("onnxruntime"):
        from kcompile.runtimes.onnx.releases import parse_release

        parse_release(target)
        return "onnx", target
    if target not in TARGETS:
        listed = ", ".join((*TARGETS, "onnxruntime==1.20"))
        raise SpecError(f"{target!r} is not a target", hint=f"Use one of {listed}")
    return target, None


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


def _traced(
    model: Model | Graph, weights: Mapping[str, Any] | None, interface: Interface
) -> tuple[Graph, dict[str, np.ndarray[Any, Any]]]:
    """The graph at inference, and the array of each weight in it."""
    graph = model if isinstance(model, Graph) else model.graph(training=False)
    _require_stateless(model)
    graph = interface.apply(graph)
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
    return graph, {name: np.asarray(weights[name]) for name in needed}


def _num_elements(arrays: Mapping[str, Any]) -> int:
    return sum(int(array.size) for array in arrays.values())


def _report(target: str, graph: Graph, parameters: int, log: Any) -> dict[str, Any]:
    return {
        "target": target,
        "graph": graph.name,
        "parameters": parameters,
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
    passes: Sequence[Insertion],
    check_passes: bool,
) -> Executable:
    """For a runtime that runs our graphs as they are."""
    from kcompile.passes.pipelines import INFERENCE, run_pipeline

    check = _pass_check(graph, arrays) if check_passes else None
    result = run_pipeline(graph, INFERENCE, extra=passes, check=check)
    names = {entry.name for entry in result.graph.inputs}
    kept = {name: array for name, array in arrays.items() if name in names}
    if target == "xla":
        from kcompile.runtimes.jax.executable import JaxExecutable

        runtime: Runtime = JaxExecutable(result.graph, kept)
    else:
        from kcompile.runtimes.reference import ReferenceExecutable

        runtime = ReferenceExecutable(result.graph, kept)
    report = _report(target, result.graph, _num_elements(arrays), result.log)
    return Executable(target, result.graph, runtime, report, result.log)


def _pass_check(graph: Graph, arrays: Mapping[str, Any]) -> PassCheck:
    from kcompile.runtimes.onnxruntime.translation import PassCheck

    return PassCheck(graph, dict(arrays))


def _compile_onnx(
    model: Model | Graph,
    weights: Mapping[str, Any] | None,
    interface: Interface,
    passes: Sequence[Insertion],
    verify: bool,
    opset: int | None,
    release: str | None,
    check_passes: bool,
) -> Executable:
    """For onnxruntime: the file, and what it was held against."""
    from kcompile.runtimes.onnxruntime.production import finish_file, optimize, write_file

    again = functools.partial(_traced, model, weights, interface)
    traced, arrays = again()
    parameters = _num_elements(arrays)
    check = _pass_check(traced, arrays) if check_passes else None
    graph, origin = optimize(traced, arrays, passes, verify, again, check)
    report = _report("onnx", graph, parameters, origin.log)
    file = io.BytesIO()
    report |= write_file(graph, origin, opset, release, file)
    report["verification"], end = finish_file(origin, file.getvalue())
    file.write(end)
    data = file.getvalue()
    report["file_bytes"] = len(data)
    return Executable("onnx", graph, _LazySession(data), report, origin.log, data)


def compile_to_file(
    load: Callable[[], Model],
    path: str | Path,
    interface: Callable[[Model], Interface],
    *,
    opset: int | None = None,
    release: str | None = None,
    verify: bool = True,
    check_passes: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[dict[str, Any], tuple[LogEntry, ...]]:
    """Compile a model to an ONNX file with little memory: the report, and what each pass did.

    The model is let go when its graph is there, and the graph when the file is written; it is the
    file that is run and held against what the graph computed.

    Args:
        load: gives the model; nothing else may hold it.
        path: of the file; nothing is written if compiling or verifying fails.
        interface: gives what differs at the file's ends from what the model says.
        opset, verify, check_passes: as of `compile`.
        release: `onnxruntime==1.20`, if it has to take the file.
        progress: is told what begins.

    Raises:
        KCompileError: as from `compile`, or from `load`.
    """
    from kcompile.runtimes.onnxruntime.production import Origin, finish_file, optimize, write_file
    from kcompile.utils.atomic import replacing
    from kcompile.utils.inspection import node_flops

    def traced() -> tuple[Graph, dict[str, np.ndarray[Any, Any]]]:
        model = load()
        return _traced(model, None, interface(model))

    def write(file: BinaryIO) -> tuple[Origin, dict[str, Any]]:
        progress("reading")
        source, arrays = traced()
        parameters = _num_elements(arrays)
        if parameters > MANY_PARAMETERS:
            gc.collect()  # layers and their calls refer to each other
        progress("optimizing")
        check = _pass_check(source, arrays) if check_passes else None
        graph, origin = optimize(source, arrays, (), verify, traced, check)
        report = _report("onnx", graph, parameters, origin.log)
        report["flops"] = sum(map(node_flops, graph.nodes))
        progress("exporting")
        return origin, report | write_file(graph, origin, opset, release, file)

    with replacing(path) as part:
        with part.open("wb") as file:
            origin, report = write(file)
        if verify:
            progress("verifying")
        report["verification"], end = finish_file(origin, part)
        with part.open("ab") as file:
            file.write(end)
        report["file_bytes"] = part.stat().st_size
    return report, origin.log


def verify_file(
    model: Model | Graph,
    path: str | Path,
    interface: Interface,
    data: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Hold an ONNX file against a model: what was run, and the largest differences.

    Args:
        model: what the file should compute.
        path: of the file.
        interface: what differs at the file's ends from what the model says.
        data: arrays by input name; by default some are drawn.

    Raises:
        VerifyError: it computes something else, or onnxruntime refuses it; the hint tells which
            value is the first to differ.
        DataError: the data do not fit the model.
    """
    from kcompile.passes.bind_weights import bind_weights
    from kcompile.passes.to_inference import to_inference
    from kcompile.runtimes.binding import bind_arrays
    from kcompile.runtimes.onnxruntime.expectation import expect
    from kcompile.runtimes.onnxruntime.verification import verify_file

    graph, arrays = _traced(model, None, interface)
    source = bind_weights(to_inference(graph), arrays)
    if data is None:
        expectation = expect(source)
    else:
        bound, sizes = bind_arrays(source, data)
        expectation = expect(source, sizes=[sizes], draw=lambda graph, sizes, seed: bound)
    try:
        return verify_file(expectation, Path(path)).as_metadata()
    except VerifyError as error:
        hint = _first_difference(graph, arrays, expectation.runs, Path(path))
        raise VerifyError(error.message, where=error.where, hint=hint) from error


def _first_difference(graph: Graph, arrays: dict[str, Any], runs: Sequence[Any], path: Path) -> str:
    """Which value of the file is the first that is not what compiling gives now."""
    from kcompile.passes.pipelines import ONNX, run_pipeline
    from kcompile.runtimes.onnxruntime.bisection import first_difference

    result = run_pipeline(graph, ONNX, arguments={"weights": arrays})
    return first_difference(result.graph, path, runs)


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
