"""One call of a function of `kcompile.ops`, held against `keras.ops` in every runtime."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import kcompile.ops as our_ops
from kcompile.ir.graph import Graph
from kcompile.ir.types import TensorType
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.trace import Trace
from kcompile.runtimes import reference
from kcompile.runtimes.jax import run_graph
from kcompile.runtimes.onnx import check_model, export_graph
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable
from tests.ops.tolerances import assert_same

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class OpsCase:
    """A function's name and its arguments; arrays among them become inputs of a graph."""

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    exports: bool = True

    @property
    def name(self) -> str:
        return f"{self.function}-{self.label}"


def case(function: str, *args: Any, exports: bool = True, **kwargs: Any) -> OpsCase:
    """A case named by its arguments."""
    label = "-".join(_brief(leaf) for leaf in leaves([list(args), kwargs]))
    return OpsCase(function, args, kwargs, label, exports)


def _brief(leaf: Any) -> str:
    if isinstance(leaf, np.ndarray):
        return f"{leaf.dtype}{'x'.join(map(str, leaf.shape))}"
    return str(leaf)


def normal(*shape: int, dtype: str = "float32", seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def integers(*shape: int, low: int = -9, high: int = 9, dtype: str = "int32") -> Array:
    return np.asarray(np.random.default_rng(1).integers(low, high, shape)).astype(dtype)


def booleans(*shape: int) -> Array:
    return np.random.default_rng(2).integers(0, 2, shape).astype(bool)


def vector(*values: float, dtype: str = "float32") -> Array:
    return np.asarray(values).astype(dtype)


def with_slow_tail(cases: list[OpsCase]) -> list[Any]:
    """The cases for `parametrize`; all but the first two of each function are slow."""
    count: dict[str, int] = {}
    parameters = []
    for entry in cases:
        count[entry.function] = count.get(entry.function, 0) + 1
        marks = [pytest.mark.slow] if count[entry.function] > 2 else []
        parameters.append(pytest.param(entry, id=entry.name, marks=marks))
    return parameters


def traced(entry: OpsCase) -> tuple[Graph, dict[str, Array], Any]:
    """The graph of the call, the arrays that it takes, and the structure of its results."""
    trace = Trace("case")
    arrays: dict[str, Array] = {}

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        name = f"x{len(arrays)}"
        arrays[name] = leaf
        return trace.input(name, TensorType.of(leaf))

    with trace.active():
        args, kwargs = map_leaves(replace, entry.args), map_leaves(replace, entry.kwargs)
        result = getattr(our_ops, entry.function)(*args, **kwargs)
        flat = [trace.convert(leaf) for leaf in leaves(result)]
    return trace.finish([(f"y{i}", tensor) for i, tensor in enumerate(flat)]), arrays, result


def expected_results(entry: OpsCase) -> list[Array]:
    """What Keras gives, on JAX."""
    function: Callable[..., Any] = getattr(importlib.import_module("keras").ops, entry.function)
    with np.errstate(all="ignore"):
        results = function(*entry.args, **entry.kwargs)
    return [np.asarray(leaf) for leaf in leaves(_plain(results))]


def _plain(structure: Any) -> Any:
    """Named tuples as tuples."""
    return list(structure) if isinstance(structure, (tuple, list)) else structure


def check(entry: OpsCase) -> None:
    """The types that the graph says, and the numbers of every runtime, are those of Keras."""
    expected = expected_results(entry)
    graph, arrays, _ = traced(entry)
    assert len(graph.outputs) == len(expected)
    for output, array in zip(graph.outputs, expected, strict=True):
        assert str(output.value.type) == str(TensorType.of(array)), output.name
    runs = {"reference": reference.run(graph, arrays)[0], "jax": run_graph(graph, arrays)[0]}
    if entry.exports:
        model = export_graph(graph)
        check_model(model)
        for optimization in ("off", "all"):
            executable = OnnxRuntimeExecutable(
                model.SerializeToString(), optimization=optimization, threads=1
            )
            runs[f"onnxruntime {optimization}"] = executable.run(arrays)
    for runtime, outputs in runs.items():
        for output, array in zip(graph.outputs, expected, strict=True):
            assert_same(outputs[output.name], array, f"{runtime}: {output.name}")
