"""quantize: a model to an ONNX file with integers, and what that costs."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.compiler import Executable, compile
from kcompile.ir.errors import ExportError, SpecError
from kcompile.ir.graph import Graph
from kcompile.ir.ops import FakeQuantize
from kcompile.ir.types import DType
from kcompile.passes.equalize_layers import equalize_layers
from kcompile.passes.insert_quantization import (
    insert_quantization,
    is_excluded,
    layer_of,
    plan_quantization,
)
from kcompile.passes.quantize_dynamically import dynamic_products, quantize_dynamically
from kcompile.passes.quantize_weights import narrow_weights, narrowed_nodes, quantize_weights
from kcompile.passes.take_ranges import take_ranges
from kcompile.quantization.calibration import calibrate
from kcompile.quantization.data import Rows
from kcompile.quantization.exclusion import choose_exclusions
from kcompile.quantization.losses import (
    Metric,
    metric_of,
    relative_error,
    signal_to_noise,
)
from kcompile.quantization.observers import require_method
from kcompile.quantization.processor import saturates

if TYPE_CHECKING:
    from kcompile.models import Model

Array = np.ndarray[Any, Any]
MODES = ("static", "dynamic", "weights", "float16", "bfloat16")
#: Rows that outputs are compared on where there are no labels.
NUM_COMPARED = 256
#: Rows that the file is verified on; the reference is slow.
NUM_VERIFIED = 2


def quantize(
    model: Model | Graph | str | Path,
    data: Any = None,
    *,
    mode: str = "static",
    weight_bits: int = 8,
    calibration: str = "minmax",
    exclude: Collection[str] = (),
    max_loss: float | None = None,
    metric: str | Metric | None = None,
    evaluation: tuple[Any, Any] | None = None,
    equalize: bool = False,
    correct_biases: bool = True,
    reduce_range: bool | None = None,
    sensitivity: bool = False,
    path: str | Path | None = None,
    verify: bool = True,
    progress: Callable[[str], None] = lambda stage: None,
    **options: Any,
) -> Executable:
    """Compile a model to an ONNX file that computes with small integers.

    Args:
        model: a model, a graph, or the path of a file that `load_model` reads.
        data: rows of inputs, as `Executable.run` takes them: for the ranges of "static", and to
            compare outputs. Some hundred rows like those to come are enough.
        mode: "static" (activations u8, weights i8, biases i32), "dynamic" (ranges found at run
            time; products of matrices only, for transformers), "weights" (i8 in the file, floats
            when it runs), "float16" or "bfloat16" (likewise).
        weight_bits: 8, or 4 with the mode "weights": matrices then have 4 bits.
        calibration: how "static" finds ranges: "minmax", "percentile", "entropy" or "mse".
        exclude: names of layers that keep floats.
        max_loss: the loss to be kept: as many layers as necessary keep floats, those first whose
            quantization disturbs the outputs most. With `evaluation` the loss is what the metric
            falls by, otherwise the relative error (root mean square) of the outputs.
        metric: "accuracy", or a function of outputs and labels whose value is the better the
            greater; it gets a dict of outputs if there are several.
        evaluation: inputs and labels, which were not trained on.
        equalize: whether weights of neighbouring layers are scaled to equal ranges first.
        correct_biases: whether what rounding of weights adds to means is taken from biases.
        reduce_range: whether weights have 7 bits, as processors need that add products in 16
            bits; by default if this one does.
        sensitivity: whether to quantize each layer alone and report what it does; happens anyway
            where `max_loss` is exceeded.
        path: where to save the file; nothing is written if anything fails.
        verify: whether files are run and held against their graphs.
        progress: is told what begins.
        options: of `kcompile.compile`.

    Returns:
        The executable. `report["quantization"]` says what was done and lost.

    Raises:
        SpecError: an argument is unknown, or data are missing.
        DataError: the data do not fit the model.
        ExportError: the loss is greater than `max_loss` with a single layer quantized, or the
            model has nothing to quantize.
        VerifyError: the file computes something else than its graph.
    """
    if mode not in MODES:
        raise SpecError(f"{mode!r} is no mode", hint=f"Use one of {', '.join(MODES)}")
    require_method(calibration)
    if weight_bits not in ((4, 8) if mode == "weights" else (8,)):
        raise SpecError(f"weight_bits is {weight_bits}", hint='4 is for mode="weights" alone')
    measure = metric_of(metric)
    from kcompile.runtimes.onnxruntime.translation import PassCheck

    progress("compiling")
    model = _loaded(model)
    # Learnt ranges are taken out again; as they are, roundings that fall the other way would count.
    is_checked = verify and not _has_learnt_ranges(model)
    source = compile(model, "onnx", verify=is_checked, **options)
    graph, learnt = take_ranges(source.graph)
    if equalize and mode == "static":
        if learnt:
            raise SpecError("layers cannot be equalized whose ranges were learnt")
        equalized = equalize_layers(graph)
        PassCheck(graph, {})(graph, equalized)
        graph = equalized
    layers = _layers(mode, graph, exclude)
    if not layers:
        raise ExportError("it has no layer to quantize", where=f"graph '{graph.name}'")
    rows = None if data is None else Rows(graph, data, "data")
    if mode == "static" and rows is None:
        raise SpecError("static quantization needs data", hint='Give some, or mode="dynamic"')
    if max_loss is not None and rows is None and evaluation is None:
        raise SpecError("max_loss needs data or evaluation")
    judge = _Judge(graph, source.run, rows, evaluation, measure)
    saturating = saturates() if reduce_range is None else reduce_range
    progress("calibrating")
    rewrite = _rewriting(
        mode, graph, rows, calibration, saturating, correct_biases, weight_bits, learnt
    )
    exporter = _Exporter(rewrite, dict(options).get("opset"))
    progress("measuring")
    choice = choose_exclusions(exporter.build, judge, layers, exclude, max_loss, sensitivity)
    built = choice.built
    comparisons: list[dict[str, Any]] = []
    if verify:
        progress("verifying")
        comparisons = _verified(built, graph, rows)
    report = dict(source.report) | {"nodes": len(built.graph.nodes), "file_bytes": len(built.data)}
    report["ops"] = built.ops
    report["quantization"] = {
        "mode": mode,
        "calibration": calibration if mode == "static" else None,
        "reduced_range": saturating if mode in ("static", "dynamic") else None,
        "layers": [name for name in layers if name not in choice.excluded],
        "excluded": sorted({*exclude, *choice.excluded}),
        "sensitivity": choice.sensitivity,
        "float_file_bytes": source.report["file_bytes"],
        "verification": comparisons,
        **choice.losses,
    }
    executable = Executable("onnx", built.graph, built.session, report, source.log, built.data)
    executable.input_names = source.input_names
    if path is not None:
        executable.save(path)
    return executable


def _loaded(model: Model | Graph | str | Path) -> Model | Graph:
    if not isinstance(model, str | Path):
        return model
    refuse_onnx(model)
    from kcompile.formats.loading import load_model

    return load_model(model)


def _has_learnt_ranges(model: Model | Graph) -> bool:
    graph = model if isinstance(model, Graph) else model.graph(training=False)
    return any(isinstance(node.op, FakeQuantize) for node in graph.nodes)


def refuse_onnx(path: str | Path) -> None:
    """Say that ONNX files are not read.

    Raises:
        SpecError: the path is that of one.
    """
    if Path(path).suffix.lower() == ".onnx":
        raise SpecError(
            "ONNX files are not read",
            where=str(path),
            hint="Quantize the model that it was made from: a .keras or .h5 file, or the model",
        )


@dataclass(frozen=True)
class Built:
    """A quantized graph as something that runs."""

    graph: Graph
    data: bytes
    ops: dict[str, int]
    session: Any


class _Exporter:
    """Quantized graphs as files."""

    def __init__(self, rewrite: Callable[[Collection[str]], Graph], opset: int | None) -> None:
        self._rewrite = rewrite
        self._opset = opset

    def build(self, exclude: Collection[str]) -> Built:
        """The file in which those layers keep floats."""
        from kcompile.runtimes.onnx.export import export_file
        from kcompile.runtimes.onnx.info import model_info
        from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable

        graph = self._rewrite(exclude)
        file = export_file(graph, opset=self._opset)
        file.check()
        buffer = io.BytesIO()
        file.write(buffer, {"kcompile.version": file.model.producer_version})
        data = buffer.getvalue()
        return Built(graph, data, model_info(file.model)["ops"], OnnxRuntimeExecutable(data))


def _rewriting(
    mode: str,
    graph: Graph,
    rows: Rows | None,
    method: str,
    reduce_range: bool,
    correct_biases: bool,
    weight_bits: int,
    learnt: Mapping[str, tuple[float, int]],
) -> Callable[[Collection[str]], Graph]:
    """A function from excluded layers to the quantized graph."""
    if mode == "dynamic":
        return lambda exclude: quantize_dynamically(
            graph, exclude=exclude, reduce_range=reduce_range
        )
    if mode == "weights":
        return lambda exclude: quantize_weights(graph, exclude=exclude, bits=weight_bits)
    if mode != "static":
        return lambda exclude: narrow_weights(graph, DType.of(mode), exclude=exclude)
    assert rows is not None
    plan = plan_quantization(graph)
    found = calibrate(graph, plan, rows, method)
    taken = {plan.ranges[name]: entry for name, entry in learnt.items() if name in plan.ranges}
    parameters = found.parameters | taken
    means = found.means if correct_biases and not learnt else None
    return lambda exclude: insert_quantization(
        graph, parameters, exclude=exclude, reduce_range=reduce_range, means=means
    )


def _layers(mode: str, graph: Graph, exclude: Collection[str]) -> list[str]:
    """The layers that are quantized, in the order of the graph."""
    if mode == "dynamic":
        nodes = dynamic_products(graph)
    elif mode in ("float16", "bfloat16"):
        nodes = narrowed_nodes(graph, DType.of(mode))
    else:
        nodes = plan_quantization(graph).products
    names = {node.outputs[0].name: node for node in graph.nodes}
    for name in exclude:
        if not any(is_excluded(node, [name]) for node in names.values()):
            raise SpecError(f"no layer is named {name!r}", where="exclude")
    return list(dict.fromkeys(layer_of(n) for n in nodes if not is_excluded(n, exclude)))


class _Judge:
    """Holds quantized outputs against those in floats, on the data that there are."""

    def __init__(
        self,
        graph: Graph,
        run: Callable[[Any], dict[str, Array]],
        rows: Rows | None,
        evaluation: tuple[Any, Any] | None,
        metric: Metric,
    ) -> None:
        self._metric = metric
        self._labels = None if evaluation is None else np.asarray(evaluation[1])
        held_out = None if evaluation is None else Rows(graph, evaluation[0], "evaluation")
        self._compared = None if rows is None else rows.head(graph, NUM_COMPARED)
        if self._compared is None and held_out is not None:
            self._compared = held_out.head(graph, NUM_COMPARED)
        self._held_out = held_out
        self._wanted = None if self._compared is None else _outputs(run, self._compared)
        self._float_metric = self._measured(run)

    def _measured(self, run: Callable[[Any], dict[str, Array]]) -> float | None:
        if self._held_out is None:
            return None
        assert self._labels is not None
        outputs = _outputs(run, self._held_out)
        given = outputs if len(outputs) > 1 else next(iter(outputs.values()))
        return float(self._metric(given, self._labels))

    def noise(self, built: Built) -> float:
        """The ratio of signal to noise of the worst output, in decibels."""
        if self._compared is None or self._wanted is None:
            raise SpecError("sensitivity needs data or evaluation")
        actual = _outputs(built.session.run, self._compared)
        return min(signal_to_noise(actual[name], array) for name, array in self._wanted.items())

    def losses(self, built: Built) -> dict[str, Any]:
        """What is lost: `loss`, and what it comes from."""
        found: dict[str, Any] = {"loss": None}
        if self._compared is not None and self._wanted is not None:
            actual = _outputs(built.session.run, self._compared)
            found["signal_to_noise"] = {
                name: signal_to_noise(actual[name], array) for name, array in self._wanted.items()
            }
            found["relative_error"] = found["loss"] = relative_error(actual, self._wanted)
        if self._float_metric is not None:
            measured = self._measured(built.session.run)
            assert measured is not None
            found["float_metric"], found["metric"] = self._float_metric, measured
            found["loss"] = self._float_metric - measured
        return found


def _outputs(run: Callable[[Any], dict[str, Array]], rows: Rows) -> dict[str, Array]:
    parts = [run(batch) for batch in rows.batches()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _verified(built: Built, graph: Graph, rows: Rows | None) -> list[dict[str, Any]]:
    from kcompile.quantization.verification import verify_quantized
    from kcompile.runtimes.onnxruntime.samples import choose_sizes, draw_inputs

    if rows is not None:
        inputs = rows.first(NUM_VERIFIED)
    else:
        inputs = dict(draw_inputs(graph, choose_sizes(graph)[-1], 0))
    found = verify_quantized(built.graph, built.data, inputs)
    return [dataclasses.asdict(entry) for entry in found]
