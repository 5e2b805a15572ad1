"""Writes docs/coverage.md: the public names of Keras, and what becomes of each here.

    python docs/generate_coverage.py

The conformance cases are the source: what trains and what a file holds is asked of the models
that the tests hold against Keras, and why a name is missing is asked of the name. A test holds the
file against what this writes.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import kcompile  # noqa: E402
from kcompile import layers  # noqa: E402
from kcompile.ir.errors import ExportError  # noqa: E402
from kcompile.ops.missing import is_missing  # noqa: E402
from tests.conformance.case import Case  # noqa: E402
from tests.conformance.ops_case import OpsCase, traced  # noqa: E402
from tests.conformance.tables import CASES  # noqa: E402
from tests.conformance.tables.elsewhere import ELSEWHERE  # noqa: E402

MODULES = (
    *("layers", "models", "ops", "ops.image", "ops.linalg", "ops.nn", "activations"),
    *("initializers", "regularizers", "constraints", "losses", "metrics", "optimizers"),
    *("optimizers.schedules", "callbacks", "random", "utils", "utils.bounding_boxes"),
    *("dtype_policies", "mixed_precision", "wrappers", "config", "saving", "datasets"),
    *("applications", "quantizers", "distribution", "distillation", "visualization"),
)
#: Nodes that only move or name elements.
BOOKKEEPING = {
    *("Cast", "Concat", "Constant", "Expand", "Gather", "Identity", "Reshape", "Shape", "Slice"),
    *("Split", "Squeeze", "Transpose", "Unsqueeze"),
}
#: The opset to ask for where the lowest one, which `compile` chooses, takes several ops.
NEWEST = 23
HEADER = """# Coverage

The public names of Keras 3.15, and what becomes of each in kcompile. `docs/generate_coverage.py`
writes this file from the conformance cases; a test holds it. What compiling
and files lack stands at the end.

- *trains*: outputs and gradients on XLA are Keras's, in every case of the layer; random layers draw
  numbers of their own. *On the host*: what concerns strings is computed before the batch is moved.
- *exports*: what the first case becomes in the ONNX file. *native* is one op that computes,
  beside ops that only move elements; *decomposed* is several.
- *missing*: a name that can be imported and raises `NotImplementedError`, or is not there at all.

| module | here | missing |
|---|---|---|
"""
COMPILING = """## compiling and files

*Missing*:

- ONNX files as input, so also their quantization; `.ort` files and files optimized offline; weights
  in a file of their own, for models of 2 GiB and more
- XLA programs that are saved for open sizes, for another machine than the one that compiles, or for
  several devices
- a table of costs per release and provider of onnxruntime: which form is faster was measured once,
  and the lowerings say so; ops of `com.microsoft`; Q, K and V projections merged into one product
- quantized LSTM, GRU, transposed convolution and products of two activations, which keep floats;
  graphs that compute in float16
- `verify` that names the first value of the graph that differs
- `Lambda` layers with code from a file, custom layers without `custom_objects`, `TFSMLayer`,
  `TorchModuleWrapper`: refused, as SECURITY.md says
- bilinear `UpSampling2D` of Keras 2 written for Keras 3 with factors that are no powers of two
- optimizer state of Keras 2 files and of models with a `train_step` of their own: it starts anew"""


def public_names(module: ModuleType) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def section(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Of one module of Keras: the names that are here, and the others with the reason."""
    theirs = public_names(importlib.import_module(f"keras.{name}"))
    try:
        ours = importlib.import_module(f"kcompile.{name}")
    except ModuleNotFoundError:
        return {}, dict.fromkeys(sorted(theirs), f"there is no kcompile.{name}")
    here: dict[str, Any] = {}
    gone: dict[str, str] = {}
    for entry in sorted(theirs):
        value = getattr(ours, entry, None)
        if value is None:
            gone[entry] = "not there"
        elif is_missing(value):
            gone[entry] = (
                (inspect.getdoc(value) or "").removeprefix("Not implemented: ").rstrip(".")
            )
        else:
            here[entry] = value
    return here, gone


def coverage() -> str:
    """The text of docs/coverage.md."""
    found = {name: section(name) for name in MODULES}
    rows = [f"| {name} | {len(here)} | {len(gone)} |" for name, (here, gone) in found.items()]
    parts = [HEADER + "\n".join(rows), "## layers\n\n" + layer_table(found["layers"][0])]
    parts.append(missing_list(found["layers"][1]))
    for name, (here, gone) in found.items():
        if name == "layers":
            continue
        names = op_list(here) if name == "ops" else ", ".join(f"`{entry}`" for entry in here)
        parts.append(f"## {name}\n\n*Here*: {names or 'none'}")
        parts.append(missing_list(gone))
    return "\n\n".join([*parts, COMPILING]) + "\n"


def missing_list(gone: dict[str, str]) -> str:
    """The missing names, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for name, reason in gone.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    if not reasons:
        return "*Missing*: none"
    return "*Missing*:\n\n" + "\n".join(
        f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()
    )


def layer_table(here: dict[str, Any]) -> str:
    """A row for each layer with cases; functions and base classes are listed below it."""
    cases: dict[type, list[Case]] = {}
    for case in [*CASES, *(case for found in ELSEWHERE.values() for case in found)]:
        cases.setdefault(getattr(layers, case.layer), []).append(case)
    names: dict[Any, list[str]] = {}
    for name, value in here.items():
        names.setdefault(value, []).append(name)
    rows = [
        "| layer | cases | trains | exports | ONNX ops of the first case |",
        "|---|---|---|---|---|",
    ]
    for layer, aliases in sorted(names.items(), key=lambda item: item[1][0]):
        if layer in cases:
            listed = ", ".join(f"`{name}`" for name in aliases)
            rows.append(f"| {listed} | {len(cases[layer])} | {_row(cases[layer])} |")
    others = [f"`{name}`" for value, found in names.items() if value not in cases for name in found]
    return "\n".join(rows) + f"\n\n*Functions, inputs and base classes*: {', '.join(others)}"


def _row(cases: list[Case]) -> str:
    trains = "yes" if any(case.has_gradients for case in cases) else "on the host"
    try:
        first = next((case for case in cases if case.make is None), cases[0])
        data = kcompile.compile(first.model(kcompile), verify=False).to_bytes()
    except ExportError as error:
        return f"{trains} | no | {error}"
    nodes = onnx_ops(data)
    how = kind(nodes)
    if how == "decomposed":
        newest = kcompile.compile(first.model(kcompile), verify=False, opset=NEWEST).to_bytes()
        if kind(newer := onnx_ops(newest)) == "native":
            how, nodes = f"native from opset {NEWEST}", newer
    return f"{trains} | {how} | {', '.join(nodes) or 'none'}"


def op_list(here: Iterable[str]) -> str:
    """Names of functions, each with how it exports where a conformance case says so."""
    kinds: dict[str, str] = {}
    for path in sorted((ROOT / "tests" / "conformance").glob("test_ops_*.py")):
        module = importlib.import_module(f"tests.conformance.{path.stem}")
        for case in _ops_cases(vars(module).values()):
            if case.function not in kinds and case.exports:
                kinds[case.function] = kind(_ops_of(case))
    return ", ".join(f"`{name}` ({kinds[name]})" if name in kinds else f"`{name}`" for name in here)


def _ops_cases(values: Iterable[Any]) -> list[OpsCase]:
    lists = [value for value in values if isinstance(value, list)]
    return [entry for found in lists for entry in found if isinstance(entry, OpsCase)]


def _ops_of(case: OpsCase) -> list[str]:
    from kcompile.runtimes.onnx import export_graph

    return onnx_ops(export_graph(traced(case)[0]).SerializeToString())


def onnx_ops(data: bytes) -> list[str]:
    """The kinds of the nodes of a file, in the order in which they come first."""
    import onnx

    nodes = onnx.load_from_string(data).graph.node
    return list(dict.fromkeys(node.op_type for node in nodes))


def kind(nodes: list[str]) -> str:
    return "native" if len(set(nodes) - BOOKKEEPING) <= 1 else "decomposed"


if __name__ == "__main__":
    Path(__file__).with_name("coverage.md").write_text(coverage())
