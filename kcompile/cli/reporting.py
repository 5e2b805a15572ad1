"""`kcompile inspect --html`."""

from __future__ import annotations

import dataclasses
import functools
import io
from pathlib import Path
from typing import Any

import numpy as np

from kcompile import __version__
from kcompile.cli.inspecting import PIPELINES, traced
from kcompile.cli.loading import Loaded, Source, load, require_no_replacement
from kcompile.cli.options import Ends
from kcompile.cli.running import print_json, progress, say
from kcompile.formats.json_text import parse_json
from kcompile.formats.place import Place
from kcompile.ir.errors import DataError, ExportError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.passes.bind_weights import bind_weights
from kcompile.passes.pipelines import PipelineResult, Step, run_pipeline
from kcompile.passes.to_inference import to_inference
from kcompile.utils.atomic import require_folder, write_bytes
from kcompile.utils.html_report import PassView, Report, graph_text, render_report
from kcompile.utils.inspection import layer_table, peak_activation_bytes, total
from kcompile.utils.units import format_bytes

#: The largest file of a quantization that is read, in bytes.
MAX_JSON_BYTES = 2**24


def report_file(
    source: Source,
    output: Path,
    ends: Ends,
    target: str,
    after: str | None,
    quantization: Path | None,
    as_json: bool,
) -> None:
    """Write a page about the model in a file and what the passes of a target make of it."""
    require_folder(output)
    quantized = {} if quantization is None else _read_quantization(quantization)
    with progress() as stage:
        stage("reading")
        loaded = load(source)
        weights = [] if loaded.weights is None else [loaded.weights]
        read = [] if quantization is None else [quantization]
        require_no_replacement(output, [*source.files, *weights, *read])
        graph, arrays = traced(loaded.model, ends, target)
        stage("optimizing")
        result, views = _run_passes(graph, arrays, target, after)
        stage("verifying")
        facts = _facts(source, loaded, graph, result)
        verification: dict[str, str] | str = "not verified"
        if target == "onnx" and after is None:
            exported, verification = _verify(bind_weights(to_inference(graph), arrays), result)
            facts |= exported
    sensitivity = quantized.get("sensitivity") or {}
    report = Report(
        loaded.model.name,
        facts,
        layer_table(loaded.model),
        views,
        verification,
        _quantization_facts(quantized) if quantized else {},
        {layer: float(ratio) for layer, ratio in sensitivity.items()},
    )
    page = render_report(report)
    write_bytes(output, page)
    if as_json:
        print_json({"html": str(output), "facts": facts, "verification": verification})
        return
    say(f"{output}: {len(report.layers)} layers, {len(views)} passes, {format_bytes(len(page))}")
    status = verification if isinstance(verification, str) else "passed"
    say(f"  verification: {status}")


def _run_passes(
    graph: Graph, arrays: dict[str, np.ndarray[Any, Any]], target: str, after: str | None
) -> tuple[PipelineResult, list[PassView]]:
    """The graph after the passes, and the text before and after each."""
    texts = [graph_text(graph)]
    pipeline = tuple(_watched(step, texts) for step in PIPELINES[target])
    result = run_pipeline(graph, pipeline, arguments={"weights": arrays}, stop_after=after)
    pairs = zip(texts, texts[1:], strict=False)
    return result, [PassView(entry, *pair) for entry, pair in zip(result.log, pairs, strict=True)]


def _watched(step: Step, texts: list[str | None]) -> Step:
    """`step`, which adds the text of each graph that it makes."""

    @functools.wraps(step.run)
    def run(graph: Graph, *given: Any) -> Graph:
        result = step.run(graph, *given)
        texts.append(graph_text(result))
        return result

    return dataclasses.replace(step, run=run)


def _facts(source: Source, loaded: Loaded, graph: Graph, result: PipelineResult) -> dict[str, str]:
    sums = total(layer_table(loaded.model))
    weights = loaded.model.named_weights().values()
    num_bytes = sum(np.asarray(variable).nbytes for variable in weights)
    held = [format_bytes(peak_activation_bytes(each)) for each in (graph, result.graph)]
    return {
        "file": source.file.name,
        "made by": loaded.made_by,
        "weights": "random" if loaded.weights is None else loaded.weights.name,
        "parameters": f"{sums.num_parameters:,} ({format_bytes(num_bytes)})",
        "FLOPs": f"{sums.flops:,} for one sample",
        "nodes": f"{len(graph.nodes):,}, and {len(result.graph.nodes):,} after the passes",
        "peak of activations": f"{held[0]} for one sample, and {held[1]} after the passes",
        "kcompile": __version__,
    }


def _verify(source: Graph, result: PipelineResult) -> tuple[dict[str, str], dict[str, str] | str]:
    """Make the ONNX file and run it: what it is like, and how it compares to `source`.

    A page about a model that fails here is wanted most, so that the failure goes onto it.
    """
    from kcompile.runtimes.onnxruntime.expectation import expect
    from kcompile.runtimes.onnxruntime.production import Origin, finish_file, write_file

    origin = Origin(result.log, {"kcompile.version": __version__}, expect(source))
    file = io.BytesIO()
    try:
        written = write_file(result.graph, origin, None, None, file)
        verification, _ = finish_file(origin, file.getvalue())
    except (ExportError, VerifyError) as error:
        return {}, f"failed: {error}"
    size = format_bytes(len(file.getvalue()))
    facts = {"ONNX file": f"{written['nodes']:,} nodes, {size}, opset {written['opset']}"}
    return facts, verification


def _read_quantization(path: Path) -> dict[str, Any]:
    """What a report of `kcompile quantize --json` says about the quantization.

    Raises:
        DataError: the file is something else.
        FormatError: it is no JSON.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise DataError(f"it has more than {format_bytes(MAX_JSON_BYTES)}", where=str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError("it is no text", where=str(path)) from error
    report = parse_json(text, Place(path.name))
    found = report.get("quantization") if isinstance(report, dict) else None
    if not isinstance(found, dict) or not _is_quantization(found):
        raise DataError(
            "it is no report of a quantization",
            where=str(path),
            hint="Make it by kcompile quantize --sensitivity --json",
        )
    return found


def _is_quantization(found: dict[str, Any]) -> bool:
    sensitivity = found.get("sensitivity") or {}
    return (
        isinstance(found.get("mode"), str)
        and all(isinstance(found.get(key), list) for key in ("layers", "excluded"))
        and all(isinstance(name, str) for name in (*found["layers"], *found["excluded"]))
        and isinstance(sensitivity, dict)
        and all(_is_ratio(ratio) for ratio in sensitivity.values())
    )


def _is_ratio(value: Any) -> bool:
    """Whether it is a number, or one that JSON has only as a text."""
    return type(value) in (int, float) or value in ("inf", "-inf", "nan")


def _quantization_facts(found: dict[str, Any]) -> dict[str, str]:
    facts = {
        "mode": found["mode"],
        "layers": f"{len(found['layers'])} quantized",
        "in floats": ", ".join(found["excluded"]) or "none",
    }
    for key, label in (("float_metric", "accuracy in floats"), ("metric", "accuracy")):
        if type(found.get(key)) in (int, float):
            facts[label] = f"{found[key]:.4f}"
    return facts
