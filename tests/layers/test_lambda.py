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
from kcompile.runtimes.jax.jaxpr_table import IMPORTERS
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


LONG = np.zeros(2000, "f")
LONG_WITH_ONE = np.where(np.arange(2000) == 1000, 1, LONG).astype("f")


@pytest.mark.parametrize(
    "first, second",
    [
        (LONG, LONG_WITH_ONE),
        (jnp.zeros(2), jnp.ones(2)),
        (jax.random.key(0), jax.random.key(1)),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ([1, 2], (1, 2)),
        ({"a": 1, "b": 2}, {"b": 1, "a": 2}),
    ],
    ids=["array", "jax-array", "key", "int-float", "int-bool", "zeros", "structure", "keys"],
)
def test_what_stays_python_code_keeps_its_own_arguments(first: Any, second: Any) -> None:
    def function(x: Any, given: Any) -> Any:
        seen.append(given)
        return x.at[:, 0].set(0.0)

    seen: list[Any] = []
    x = np.ones((2, 3), "f")
    for given in (first, second):
        model = kcompile.Sequential(
            [kcompile.Input((3,)), layers.Lambda(function, arguments={"given": given})]
        )
        assert print_graph(model.graph()) == print_graph(model.graph())
        seen.clear()
        model(x)
        assert seen and all(repr(each) == repr(given) for each in seen)
        assert all(np.array_equal(each, given) for each in seen if isinstance(each, np.ndarray))


@pytest.mark.parametrize("error", [ShapeError("no"), SpecError("no"), NotImplementedError("no")])
def test_what_an_op_refuses_stays_python_code(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setitem(IMPORTERS, "tanh", refuse)
    model = kcompile.Sequential([kcompile.Input((3,)), layers.Lambda(lambda x: jnp.tanh(x))])
    x = np.linspace(-1, 1, 6, dtype="f").reshape(2, 3)
    np.testing.assert_allclose(model(x), np.tanh(x), rtol=1e-6)
    with pytest.raises(ExportError, match="'tanh'"):
        kcompile.compile(model)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_product_is_rounded_once(dtype: str) -> None:
    """Of float32 operands whose products cancel, which rounding before would hide."""
    weight = np.array([[1.0001], [-1.0]], "f")

    def function(x: Any) -> Any:
        return jnp.matmul(x, weight, preferred_element_type=dtype)

    model = kcompile.Sequential([kcompile.Input((2,)), layers.Lambda(function)])
    assert all(node.op.name != "foreign_call" for node in model.graph().nodes)
    x = np.ones((3, 2), "f")
    found = np.asarray(model(x), "f")
    np.testing.assert_array_equal(found, np.asarray(function(x), "f"))
    assert (found != 0).all()


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
