"""`kcompile quantize`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kcompile.cli.loading import Source, load, require_no_replacement
from kcompile.cli.options import Ends
from kcompile.cli.running import print_json, progress, say
from kcompile.cli.verifying import read_arrays
from kcompile.ir.errors import DataError
from kcompile.quantization.quantizing import quantize, refuse_onnx
from kcompile.utils.atomic import require_folder
from kcompile.utils.units import format_bytes

#: Name of the classes in a file of `--evaluation`.
LABELS = "labels"


def quantize_file(
    source: Source,
    output: Path,
    ends: Ends,
    data: Path | None,
    quantization: dict[str, Any],
    as_json: bool,
) -> None:
    """Compile the model in a file to an ONNX file with small integers."""
    start = time.perf_counter()
    refuse_onnx(source.file)
    require_folder(output)
    evaluation = quantization.pop("evaluation")
    rows = None if data is None else read_arrays(data)
    with progress() as stage:
        stage("reading")
        loaded = load(source)
        weights = [] if loaded.weights is None else [loaded.weights]
        require_no_replacement(output, [*source.files, *weights])
        interface = ends.interface(loaded.model)
        executable = quantize(
            loaded.model,
            rows,
            evaluation=None if evaluation is None else _labelled(evaluation),
            path=output,
            progress=stage,
            sizes=interface.sizes,
            shapes=interface.shapes,
            inputs_as_nchw=interface.channels_first,
            rename=interface.names,
            **quantization,
        )
    report = executable.report | {"seconds": time.perf_counter() - start}
    if as_json:
        print_json({"output": str(output), **report})
        return
    _tell(output, report)


def _labelled(path: Path) -> tuple[dict[str, Any], Any]:
    arrays = read_arrays(path)
    if LABELS not in arrays:
        raise DataError(f"it has no array '{LABELS}'", where=str(path))
    labels = arrays.pop(LABELS)
    return arrays, labels


def _tell(output: Path, report: dict[str, Any]) -> None:
    quantized = report["quantization"]
    say(
        f"{output}: {format_bytes(report['file_bytes'])} of"
        f" {format_bytes(quantized['float_file_bytes'])}, {len(quantized['layers'])} layers"
        f" quantized ({quantized['mode']}), {report['seconds']:.2f} s"
    )
    for layer in quantized["excluded"]:
        say(f"  in floats: {layer}")
    for name, ratio in quantized.get("signal_to_noise", {}).items():
        say(f"  signal to noise of '{name}': {ratio:.1f} dB")
    if "metric" in quantized:
        before, after = quantized["float_metric"], quantized["metric"]
        say(f"  accuracy: {before:.4f} in floats, {after:.4f} now")
    for layer, ratio in (quantized["sensitivity"] or {}).items():
        say(f"  alone: {layer} {ratio:.1f} dB")
