"""`kcompile compile`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kcompile.cli.loading import Loaded, Source, load, require_no_replacement
from kcompile.cli.memory import give_back_large_blocks
from kcompile.cli.options import Ends
from kcompile.cli.running import print_json, progress, say
from kcompile.compiler import compile, compile_to_file, split_target
from kcompile.models import Model
from kcompile.utils.atomic import require_folder
from kcompile.utils.units import format_bytes


def compile_file(
    source: Source,
    output: Path,
    ends: Ends,
    opset: int | None,
    target: str,
    verify: bool,
    check_passes: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Compile the model in a file to an ONNX file; the target is `onnx`, or a release."""
    start = time.perf_counter()
    give_back_large_blocks()
    require_folder(output)
    _, release = split_target(target)
    origin: dict[str, Any] = {}

    def read() -> Model:
        loaded = load(source)
        weights = [] if loaded.weights is None else [loaded.weights]
        require_no_replacement(output, [*source.files, *weights])
        origin.update(_origin(loaded))
        return loaded.model

    with progress() as stage:
        report, log = compile_to_file(
            read,
            output,
            ends.interface,
            opset=opset,
            release=release,
            verify=verify,
            check_passes=check_passes,
            progress=stage,
        )
    seconds = time.perf_counter() - start
    if as_json:
        extra = {"refusals": _refusals(log)} if explain else {}
        print_json({"output": str(output), **origin, "seconds": seconds, **report, **extra})
        return
    if explain:
        _explain(log, report["forms"])
    say(
        f"{output}: {report['nodes']} nodes, {report['parameters']:,} parameters,"
        f" {format_bytes(report['file_bytes'])}, {report['flops']:,} FLOPs,"
        f" opset {report['opset']}, {seconds:.2f} s"
    )
    for what in ("inputs", "outputs"):
        say(f"  {what}: {', '.join(f'{name} {type}' for name, type in report[what].items())}")
    for key, value in report["verification"].items():
        say(f"  {key}: {value}")


def compile_executable(
    source: Source,
    output: Path,
    ends: Ends,
    target: str,
    batch_sizes: Sequence[int],
    options: Mapping[str, Any],
    explain: bool,
    as_json: bool,
) -> None:
    """Compile the model in a file for a runtime of kcompile's own: to a file of its own form."""
    start = time.perf_counter()
    require_folder(output)
    loaded = load(source)
    weights = [] if loaded.weights is None else [loaded.weights]
    require_no_replacement(output, [*source.files, *weights])
    interface = ends.interface(loaded.model)
    executable = compile(
        loaded.model,
        target,
        sizes=interface.sizes,
        shapes=interface.shapes,
        inputs_as_nchw=interface.channels_first,
        rename=interface.names,
        **options,
    )
    executable.save(output, batch_sizes=batch_sizes)
    report = {**executable.report, "file_bytes": output.stat().st_size}
    seconds = time.perf_counter() - start
    if as_json:
        extra = {"refusals": _refusals(executable.log)} if explain else {}
        print_json(
            {"output": str(output), **_origin(loaded), "seconds": seconds, **report, **extra}
        )
        return
    if explain:
        _explain(executable.log, [])
    say(
        f"{output}: {report['nodes']} nodes, {report['parameters']:,} parameters,"
        f" {format_bytes(report['file_bytes'])}, {seconds:.2f} s"
    )


def _origin(loaded: Loaded) -> dict[str, Any]:
    """Where the model comes from; it does not hold the model."""
    weights = None if loaded.weights is None else str(loaded.weights)
    return {"weights": weights, "made_by": loaded.made_by}


def _explain(log: Any, forms: list[dict[str, Any]]) -> None:
    for entry in log:
        nodes = f"{entry.num_nodes_before} to {entry.num_nodes_after} nodes"
        say(f"({entry.reason}): {nodes}", entry.name)
        for rule, count in entry.changes:
            say(f"  {rule}: {count}")
        for refusal in entry.refusals:
            say(f"  not {refusal.rule} at %{refusal.node}: {refusal.reason}")
    for form in forms:
        taken = "taken: it" if form["is_taken"] else "not taken: it"
        say(f"{form['count']} times, {taken} {form['reason']}", form["form"])


def _refusals(log: Any) -> list[dict[str, str]]:
    return [
        {"pass": entry.name, "rule": r.rule, "node": r.node, "reason": r.reason}
        for entry in log
        for r in entry.refusals
    ]
