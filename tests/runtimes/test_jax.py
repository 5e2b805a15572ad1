"""The JAX runtime against the reference, its gradients against finite differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError, ExportError, VerifyError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.op import Op
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes import reference
from kcompile.runtimes.jax import JaxExecutable, lower, run_graph
from kcompile.runtimes.jax.table import LOWERINGS
from tests.ops.cases import CASES, Case, assert_same

SMOOTH = [case for case in CASES if case.is_smooth]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_the_reference(case: Case) -> None:
    arrays = case.arrays()
    expected, _ = reference.run(case.graph, arrays)
    actual, states = run_graph(case.graph, arrays)
    assert states == {}
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert_same(actual[name], value, name)


@pytest.mark.parametrize("case", SMOOTH, ids=lambda case: case.name)
def test_gradients_equal_finite_differences(case: Case) -> None:
    """In float64, of a random projection of the outputs along a random direction."""
    case = case.widened()
    arrays = case.arrays()
    floats = {name: array for name, array in arrays.items() if array.dtype == np.float64}
    assert floats
    rng = np.random.default_rng(1)
    direction = {name: rng.standard_normal(array.shape) for name, array in floats.items()}
    outputs, _ = reference.run(case.graph, arrays)
    weights = {name: rng.standard_normal(y.shape) for name, y in outputs.items()}
    function = lower(case.graph)

    def projection(chosen: dict[str, Any]) -> jax.Array:
        results, _ = function({**arrays, **chosen})
        return sum(jnp.sum(weights[name] * y) for name, y in results.items())

    step = 1e-5
    with jax.enable_x64(True):
        value = jax.jit(projection)
        ahead, behind = (
            float(value({name: floats[name] + sign * step * direction[name] for name in floats}))
            for sign in (1, -1)
        )
        gradients = jax.device_get(jax.jit(jax.grad(projection))(floats))
    slope = sum(np.sum(gradients[name] * direction[name]) for name in floats)
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7)


def test_gradients_of_ties_and_kinks() -> None:
    """As in Keras on JAX: relu has slope 0 at 0, equal elements share the slope of a maximum."""
    x = np.zeros(2, np.float32)
    assert _gradient(ops.Relu(), x).tolist() == [0, 0]
    assert _gradient(ops.ReduceMax((0,)), x).tolist() == [0.5, 0.5]
    image = np.zeros((1, 2, 2, 1), np.float32)
    pooled = _gradient(ops.MaxPool((2, 2), (2, 2), "same"), image)
    assert pooled.ravel().tolist() == [1, 0, 0, 0]


def test_gradients_of_sparse_labels_are_finite() -> None:
    """Also where a logit is -inf, and 0 for a label that takes no part."""
    logits = np.array([[1, -np.inf, 2], [0.5, 0.1, -np.inf]], np.float32)
    labels = np.array([0, -1], np.int32)
    graph = _single(ops.SparseCategoricalCrossentropy(from_logits=True), labels, logits)
    function = lower(graph)
    gradient = jax.grad(lambda x: jnp.sum(function({"x0": labels, "x1": x})[0]["y"]))(logits)
    softmax = np.exp(logits[0]) / np.sum(np.exp(logits[0]))
    np.testing.assert_allclose(gradient[0], softmax - [1, 0, 0], rtol=1e-5)
    assert gradient[1].tolist() == [0, 0, 0]


def test_means_of_16_bit_floats_do_not_overflow() -> None:
    x = np.repeat(np.float16([1000, 600]), 100)[:, None]
    assert run_graph(_single(ops.ReduceMean((0,)), x), {"x0": x})[0]["y"].tolist() == [800]
    y = run_graph(_single(ops.BatchNormTraining(), x), {"x0": x})[0]["y"]
    np.testing.assert_allclose(y[:, 0], np.repeat([1, -1], 100), rtol=1e-3)


def test_gather_outside_gives_nan() -> None:
    x, indices = np.ones((2, 3), np.float32), np.array([0, 2], np.int32)
    y = run_graph(_single(ops.Gather(), x, indices), {"x0": x, "x1": indices})[0]["y"]
    assert np.isnan(y).all(axis=1).tolist() == [False, True]


def test_float32_products_keep_their_precision() -> None:
    """No TF32 or bfloat16 inside, forward or backward, on any device."""
    x, w = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    function = lower(_single(ops.Linear(), x, w))
    loss = jax.grad(lambda w: jnp.sum(function({"x0": x, "x1": w})[0]["y"]))
    image, kernel = np.ones((1, 3, 3, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    conv = lower(_single(ops.Conv((1, 1), "same", (1, 1)), image, kernel))
    for text in (
        str(jax.make_jaxpr(loss)(w)),
        str(jax.make_jaxpr(conv)({"x0": image, "x1": kernel})),
    ):
        assert text.count("HIGHEST") >= 2


def _single(op: Op, *arrays: np.ndarray) -> Graph:
    """One node on inputs `x0`, `x1`, ... with the arrays' types; its output is `y`."""
    builder = Builder("single")
    values = [builder.input(f"x{i}", TensorType.of(array)) for i, array in enumerate(arrays)]
    return builder.finish([("y", builder.emit(op, *values)[0])])


def _gradient(op: Op, x: np.ndarray) -> jax.Array:
    function = lower(_single(op, x))
    return jax.grad(lambda x: jnp.sum(function({"x0": x})[0]["y"]))(x)


def _stepping() -> Graph:
    """y = x * w, with a counter that goes up by one and a state that stays."""
    builder = Builder("stepping")
    f32 = TensorType(DType.FLOAT32, ())
    x = builder.input("x", TensorType(DType.FLOAT32, (symbol("batch"), 2)))
    w = builder.input("w", TensorType(DType.FLOAT32, (2,)), Role.PARAM)
    steps = builder.input("steps", f32, Role.STATE)
    kept = builder.input("kept", f32, Role.STATE)
    (y,) = builder.emit(ops.Multiply(), x, w)
    (y,) = builder.emit(ops.Add(), y, kept)
    builder.update(steps, builder.emit(ops.Add(), steps, builder.constant(np.float32(1)))[0])
    return builder.finish([("y", y)])


ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(3, 2),
    "w": np.array([2, 3], np.float32),
    "steps": np.float32(4),
    "kept": np.float32(0.5),
}


def test_next_states_are_those_with_an_update() -> None:
    outputs, states = run_graph(_stepping(), ARRAYS)
    np.testing.assert_array_equal(outputs["y"], ARRAYS["x"] * ARRAYS["w"] + 0.5)
    assert {name: float(state) for name, state in states.items()} == {"steps": 5.0}


def test_lowered_functions_can_be_transformed() -> None:
    function = lower(_stepping())

    def loss(w: Any, x: Any) -> jax.Array:
        return jnp.sum(function({**ARRAYS, "w": w, "x": x})[0]["y"])

    gradient = jax.jit(jax.grad(loss))(ARRAYS["w"], ARRAYS["x"])
    assert gradient.tolist() == [6, 9]
    rows = jax.vmap(jax.grad(loss), (None, 0))(ARRAYS["w"], ARRAYS["x"][:, None])
    assert rows.tolist() == ARRAYS["x"].tolist()


def test_other_batch_sizes_need_no_new_graph() -> None:
    graph = _stepping()
    for batch in (1, 2, 7):
        x = np.ones((batch, 2), np.float32)
        assert run_graph(graph, {**ARRAYS, "x": x})[0]["y"].shape == (batch, 2)


def test_run_graph_compiles_a_graph_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = LOWERINGS[ops.Erf]
    monkeypatch.setitem(LOWERINGS, ops.Erf, lambda op, x: (calls.append(op), original(op, x))[1])
    x = np.ones(3, np.float32)
    for _ in range(3):  # equal graphs, made anew
        run_graph(_single(ops.Erf(), x), {"x0": x})
    assert len(calls) == 1


def test_a_lowering_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOWERINGS, ops.Erf, lambda op, x: x[:1])
    x = np.ones(3, np.float32)
    with pytest.raises(VerifyError, match=r"%erf = erf: the JAX lowering made f32\[1\]"):
        lower(_single(ops.Erf(), x))({"x0": x})


def test_64_bit_types_are_never_truncated() -> None:
    x = np.array([[1, 5, 2]], np.float32)
    graph = _single(ops.Argmax(1, dtype=DType.INT64), x)
    assert run_graph(graph, {"x0": x})[0]["y"].dtype == np.int64
    assert not jax.config.jax_enable_x64
    with pytest.raises(ExportError, match=r"%argmax : i64\[1\] has a 64-bit type"):
        lower(graph)({"x0": x})
    wide = np.array([1 + 1e-12])
    doubled = run_graph(_single(ops.Subtract(), wide, wide), {"x0": wide, "x1": np.ones(1)})
    assert float(doubled[0]["y"][0]) == wide[0] - 1


def test_float64_data_is_refused_rather_than_cast() -> None:
    x = np.ones(3, np.float32)
    with pytest.raises(DataError, match=r"needs elements of type float32, got float64"):
        run_graph(_single(ops.Erf(), x), {"x0": x.astype(np.float64)})


def test_strings_are_refused() -> None:
    names = np.array(["a"], object)
    with pytest.raises(ExportError, match="JAX has no strings, which %x0"):
        lower(_single(ops.Equal(), names, names))


def test_executable_keeps_64_bit_weights() -> None:
    wide = np.array([1 + 1e-12])
    executable = JaxExecutable(_single(ops.Subtract(), wide, wide), {"x0": wide})
    assert executable.run([np.ones(1)])["y"][0] == wide[0] - 1
