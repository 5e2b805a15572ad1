"""Lambda: functions of kcompile.ops and of JAX, against Keras's Lambda on JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kcompile
import kcompile.ops as ops
from kcompile.ir.errors import ExportError, JaxCodeError, ShapeError, SpecError
from kcompile.ir.parser import parse_graph
from kcompile.ir.printer import print_graph
from tests.conformance import checks
from tests.conformance.case import Case
from tests.layers.jax_functions import FUNCTIONS, OPAQUE, Function

layers = kcompile.layers
QUICK = ("layer-norm", "attention", "relu")


def _case(name: str, function: Function, shape: Any, dense: bool = True) -> Case:
    def make(k: Any) -> tuple[Any, Any]:
        x = k.Input(shape, name="x0")
        inner = k.layers.Dense(shape[-1], name="inner")(x) if dense else x
        return x, k.layers.Lambda(function, name="layer")(inner)

    return Case("Lambda", label=name, make=make)


CASES = [
    pytest.param(
        _case(name, *FUNCTIONS[name]),
        marks=() if name in QUICK else pytest.mark.slow,
        id=name,
    )
    for name in FUNCTIONS
]


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients(case: Case) -> None:
    checks.outputs_and_gradients(case)


@pytest.mark.parametrize("case", CASES)
def test_exported_file(case: Case) -> None:
    checks.exported_file(case)


@pytest.mark.parametrize(
    "name",
    [
        "update",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("layer-norm", "custom-jvp")),
        pytest.param("cumulative-maximum", marks=pytest.mark.slow),
    ],
)
def test_three_training_steps(name: str) -> None:
    function, shape = FUNCTIONS[name] if name in FUNCTIONS else (OPAQUE[name][0], (3,))
    checks.three_training_steps(_case(name, function, shape))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_one_is_taken_over(name: str) -> None:
    """No function of the table stays Python code."""
    function, shape = FUNCTIONS[name]
    model = kcompile.Sequential([kcompile.Input(shape), layers.Lambda(function)])
    assert all(node.op.name != "foreign_call" for node in model.graph().nodes)


@pytest.mark.parametrize("name", OPAQUE)
def test_what_the_ir_does_not_hold_trains_and_is_not_exported(name: str) -> None:
    function, primitive = OPAQUE[name]
    checks_of = _case(name, function, (3,))
    ours, theirs = checks.pair(checks_of)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("f")
    checks.close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    with pytest.raises(ExportError, match=f"layer 'layer'.*'{primitive}'"):
        kcompile.compile(ours)


@pytest.mark.parametrize("name", ["relu", "custom-jvp", "custom-vjp"])
def test_own_derivatives_at_ties(name: str) -> None:
    """Of relu the gradient at 0 is 0, which that of a maximum is not."""
    function, _ = FUNCTIONS[name]
    model = kcompile.Sequential([kcompile.Input((3,)), layers.Lambda(function)])
    x = np.array([[-1, 0, 2]], "f")
    found = jax.grad(lambda x: kcompile.as_function(model)({}, {}, x)[0].sum())(x)
    np.testing.assert_array_equal(found, jax.grad(lambda x: function(x).sum())(x))


@pytest.mark.parametrize("function", [FUNCTIONS["relu"][0], OPAQUE["update"][0]])
def test_text_form_round_trips(function: Function) -> None:
    graph = kcompile.Sequential([kcompile.Input((3,)), layers.Lambda(function)]).graph()
    assert parse_graph(print_graph(graph)) == graph


def test_functions_of_ops() -> None:
    def weighted(x: Any, mask: Any, training: bool, scale: float) -> Any:
        kept = x if mask is None else ops.where(ops.expand_dims(mask, -1), x, 0.0)
        return kept * scale + (1.0 if training else 0.0)

    layer = layers.Lambda(weighted, mask=lambda x, mask: mask, arguments={"scale": 3.0})
    x = kcompile.Input((None, 2))
    model = kcompile.Model(x, layers.GlobalAveragePooling1D()(layer(layers.Masking()(x))))
    data = np.array([[[1, 2], [0, 0], [3, 4]]], "f")
    np.testing.assert_allclose(model.predict(data, verbose=0), [[6, 9]])
    np.testing.assert_allclose(model(data, training=True), [[7, 10]])
    kcompile.compile(model)


def test_several_inputs_and_outputs_of_a_jax_function() -> None:
    def both(pair: Any) -> Any:
        left, right = pair
        return {"sum": jnp.add(left, right), "product": left * right}

    a, b = kcompile.Input((3,)), kcompile.Input((3,))
    outputs = layers.Lambda(both)([a, b])
    model = kcompile.Model([a, b], outputs)
    x = np.ones((2, 3), "f")
    found = model([x, 2 * x])
    np.testing.assert_array_equal(found["sum"], 3 * x)
    np.testing.assert_array_equal(found["product"], 2 * x)


def test_a_jax_function_gets_mask_training_and_arguments() -> None:
    def function(x: Any, training: bool, mask: Any, scale: float) -> Any:
        kept = x if mask is None else jnp.where(mask[..., None], x, 0)
        return jnp.multiply(kept, scale) + training

    layer = layers.Lambda(function, mask=lambda x, mask: mask, arguments={"scale": 2.0})
    data = np.array([[[1, 1], [0, 0]]], "f")
    model = kcompile.Sequential([kcompile.Input((2, 2)), layers.Masking(), layer])
    np.testing.assert_array_equal(model(data), 2 * data)
    np.testing.assert_array_equal(model(data, training=True), 2 * data + 1)


def test_on_arrays() -> None:
    x = np.linspace(-1, 1, 6, dtype="f").reshape(2, 3)
    np.testing.assert_allclose(layers.Lambda(jnp.tanh)(x), np.tanh(x), rtol=1e-6)


def test_a_jax_function_is_traced_without_a_number_for_the_batch() -> None:
    layer = layers.Lambda(lambda x: jnp.ones(2) if x.shape[0] > 3 else jnp.tanh(x), name="odd")
    with pytest.raises(ShapeError, match="layer 'odd'.*open size"):
        layer(kcompile.Input((2,)))


def test_a_weight_does_not_become_a_constant() -> None:
    dense = layers.Dense(2)
    dense.build((None, 3))
    with pytest.raises(SpecError, match="would become constants"):
        layers.Lambda(lambda x: jnp.dot(x, jnp.asarray(dense.kernel)))(kcompile.Input((3,)))


def test_output_shape_is_checked() -> None:
    x = kcompile.Input((3,))
    layers.Lambda(ops.tanh, output_shape=(3,))(x)
    layers.Lambda(ops.tanh, output_shape=lambda shape: shape)(x)
    with pytest.raises(ShapeError, match=r"output_shape is \(None, 4\)"):
        layers.Lambda(ops.tanh, output_shape=(4,))(x)


def test_a_file_holds_no_code() -> None:
    model = kcompile.Sequential([kcompile.Input((3,)), layers.Lambda(ops.tanh)])
    with pytest.raises(SpecError, match="lambda"):
        model.to_json()
    with pytest.raises(SpecError, match="needs a function"):
        layers.Lambda({"class_name": "__lambda__"})


def test_jax_code_outside_of_lambda_is_told_what_to_do() -> None:
    with pytest.raises(JaxCodeError, match=r"layers\.Lambda"):
        jnp.tanh(kcompile.Input((3,)))
