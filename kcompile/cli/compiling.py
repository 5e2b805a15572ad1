"""`kcompile compile`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from kcompile.cli.loading import load
from kcompile.cli.running import escaped, print_json, say
from kcompile.compiler import compile
from kcompile.utils.atomic import require_folder
from kcompile.utils.summary import format_bytes


def compile_file(
    spec: Path,
    weights: Path | None,
    output: Path,
    opset: int | None,
    verify: bool,
    explain: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Compile an architecture to an ONNX file."""
    start = time.perf_counter()
    require_folder(output)
    model, weights = load(spec, weights, seed)
    if output.resolve() in {path.resolve() for path in (spec, weights) if path is not None}:
        raise click.UsageError(f"the output {output} would replace what is compiled")
    executable = compile(model, target="onnx", path=output, opset=opset, verify=verify)
    seconds = time.perf_counter() - start
    report = executable.report
    if as_json:
        extra = {"refusals": _refusals(executable.log)} if explain else {}
        used = None if weights is None else str(weights)
        file = {"output": str(output), "weights": used, "seconds": seconds}
        print_json({**file, **report, **extra})
        return
    if explain:
        _explain(executable.log)
    say(
        f"{escaped(str(output))}: {report['nodes']} nodes, {report['parameters']:,} parameters,"
        f" {format_bytes(report['file_bytes'])}, opset {report['opset']}, {seconds:.2f} s"
    )
    for key, value in report["verification"].items():
        say(f"  {escaped(f'{key}: {value}')}")


def _explain(log: Any) -> None:
    for entry in log:
        nodes = f"{entry.num_nodes_before} to {entry.num_nodes_after} nodes"
        say(f"[bold]{entry.name}[/] ({escaped(entry.reason)}): {nodes}")
        for rule, count in entry.changes:
            say(f"  {escaped(rule)}: {count}")
        for refusal in entry.refusals:
            say(f"  not {escaped(f'{refusal.rule} at %{refusal.node}: {refusal.reason}')}")


def _refusals(log: Any) -> list[dict[str, str]]:
    return [
        {"pass": entry.name, "rule": r.rule, "node": r.node, "reason": r.reason}
        for entry in log
        for r in entry.refusals
    ]
