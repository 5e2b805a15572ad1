"""`kcompile.ops` in models whose sizes are open, verified as files; signatures; gradients."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kcompile
from kcompile import ops
from kcompile.ir.dims import symbol
from kcompile.ir.types import DType, TensorType
from kcompile.layers import Input
from kcompile.ops.missing import is_missing
from kcompile.ops.trace import Trace
from kcompile.passes.to_inference import to_inference
from kcompile.runtimes.jax import lower

#: Of `[batch, time, 4]`, what NumPy makes of it.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sort": (lambda x: ops.sort(x, 1), lambda x: np.sort(x, 1)),
    "argsort": (lambda x: ops.argsort(x, 1), lambda x: np.argsort(x, 1)),
    "cumsum": (lambda x: ops.cumsum(x, 1), lambda x: np.cumsum(x, 1)),
    "cumprod": (lambda x: ops.cumprod(x, 1), lambda x: np.cumprod(x, 1)),
    "flip": (lambda x: ops.flip(x, 1), lambda x: np.flip(x, 1)),
    "negative step": (lambda x: x[:, ::-1, 1:], lambda x: x[:, ::-1, 1:]),
    "roll": (lambda x: ops.roll(x, 1, 1), lambda x: np.roll(x, 1, 1)),
    "roll back": (lambda x: ops.roll(x, -1, 1), lambda x: np.roll(x, -1, 1)),
    "roll far": (lambda x: ops.roll(x, 5, 1), lambda x: np.roll(x, 5, 1)),
    "repeat": (lambda x: ops.repeat(x, 3, 1), lambda x: np.repeat(x, 3, 1)),
    "tile": (lambda x: ops.tile(x, (1, 2, 1)), lambda x: np.tile(x, (1, 2, 1))),
    "array_split": (lambda x: ops.array_split(x, 3, 1)[0], lambda x: np.array_split(x, 3, 1)[0]),
    "split": (lambda x: ops.split(x, 2, 2)[1], lambda x: np.split(x, 2, 2)[1]),
    "median": (lambda x: ops.median(x, 1), lambda x: np.median(x, 1)),
    "quantile": (lambda x: ops.quantile(x, 0.3, (1, 2)), lambda x: np.quantile(x, 0.3, (1, 2))),
    "diff": (lambda x: ops.diff(x, axis=2), lambda x: np.diff(x, axis=2)),
    "edge": (
        lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 0)), "edge"),
        lambda x: np.pad(x, ((0, 0), (2, 1), (0, 0)), "edge"),
    ),
    "symmetric": (
        lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0)), "symmetric"),
        lambda x: np.pad(x, ((0, 0), (1, 1), (0, 0)), "symmetric"),
    ),
    "wrap": (
        lambda x: ops.pad(x, ((0, 0), (0, 1), (0, 0)), "wrap"),
        lambda x: np.pad(x, ((0, 0), (0, 1), (0, 0)), "wrap"),
    ),
    "reflect": (
        lambda x: ops.pad(x, ((0, 0), (0, 0), (2, 1)), "reflect"),
        lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), "reflect"),
    ),
    "top_k": (lambda x: ops.top_k(x, 2)[0], lambda x: -np.sort(-x, -1)[..., :2]),
    "arange": (lambda x: x * ops.arange(ops.shape(x)[1])[:, None], lambda x: x * _steps(x)),
    "triu": (lambda x: ops.triu(ops.matmul(x, _turned(x))), lambda x: np.triu(x @ x.mT)),
    "trace": (
        lambda x: ops.trace(ops.matmul(x, _turned(x)), axis1=1, axis2=2),
        lambda x: np.trace(x @ x.mT, axis1=1, axis2=2),
    ),
    "moveaxis": (lambda x: ops.moveaxis(x, 1, -1), lambda x: np.moveaxis(x, 1, -1)),
}


def _steps(x: Any) -> Any:
    return np.arange(x.shape[1], dtype=np.float32)[:, None]


def _turned(x: Any) -> Any:
    return ops.swapaxes(x, 1, 2)


class Applied(kcompile.layers.Layer):
    """A layer that is one function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_open_sizes(name: str, tmp_path: Path) -> None:
    function, expected = FUNCTIONS[name]
    x = Input((None, 4))
    model = kcompile.Model(x, Applied(function)(x))
    executable = kcompile.compile(model, path=tmp_path / "model.onnx")
    for batch, time in ((1, 1), (3, 5)):
        array = np.random.default_rng(0).standard_normal((batch, time, 4)).astype(np.float32)
        (result,) = executable.run(array).values()
        np.testing.assert_allclose(result, expected(array), rtol=1e-5, atol=1e-5)


#: Parameters that Keras has for kinds of tensor that are not here.
ELSEWHERE = {"sparse", "ragged"}
KEYWORDS = inspect.Parameter.VAR_KEYWORD
OURS = sorted(
    name
    for name in set(ops.__all__) & set(dir(importlib.import_module("keras").ops))
    if not inspect.ismodule(getattr(ops, name)) and not is_missing(getattr(ops, name))
)


@pytest.mark.parametrize("name", OURS)
def test_signatures_are_those_of_keras(name: str) -> None:
    """Names, order and defaults of the parameters; ours may have more behind them."""
    theirs = inspect.signature(getattr(importlib.import_module("keras").ops, name)).parameters
    ours = inspect.signature(getattr(ops, name)).parameters
    wanted, found = (
        [(p.name, p.default) for p in parameters if p.name not in ELSEWHERE and p.kind != KEYWORDS]
        for parameters in (theirs.values(), ours.values())
    )
    assert found[: len(wanted)] == wanted


def _gradient(function: Callable[[Any], Any]) -> list[float]:
    trace = Trace("case")
    with trace.active():
        x = trace.input("x", TensorType(DType.FLOAT32, (symbol("n"),)))
        y = ops.sum(function(x))
    run = lower(trace.finish([("y", y)]))
    return jax.grad(lambda x: run({"x": x})[0]["y"])(jnp.array([1.0, 2.0])).tolist()


def test_no_gradient_flows_through_stop_gradient() -> None:
    assert _gradient(lambda x: x * x) == [2, 4]
    assert _gradient(lambda x: ops.stop_gradient(x) * x) == [1, 2]
    assert _gradient(lambda x: ops.stop_gradient(x * x)) == [0, 0]


def test_inference_has_no_stop_gradient() -> None:
    x = Input((3,))
    graph = kcompile.Model(x, ops.stop_gradient(x) * 2.0).graph()
    assert "stop_gradient" in [node.op.name for node in graph.nodes]
    assert "stop_gradient" not in [node.op.name for node in to_inference(graph).nodes]
