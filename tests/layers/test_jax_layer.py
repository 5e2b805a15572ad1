"""JaxLayer against Keras's, on the same functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import SpecError
from tests.conformance import checks
from tests.conformance.case import Case

RNG = np.random.default_rng(0)
PARAMS = {
    "inner": (RNG.normal(size=(4, 5)).astype("f"), np.zeros(5, "f")),
    "outer": RNG.normal(size=(5, 2)).astype("f"),
}


def perceptron(params: Any, inputs: Any) -> Any:
    kernel, bias = params["inner"]
    return jax.nn.gelu(inputs @ kernel + bias) @ params["outer"]


def averaging(params: Any, state: Any, inputs: Any, training: bool) -> Any:
    """A scale, and a moving mean that training updates."""
    mean = jnp.mean(inputs, 0) if training else state["mean"]
    after = {"mean": 0.9 * state["mean"] + 0.1 * mean} if training else state
    return (inputs - mean) * params, after


def _case(label: str, make: Any) -> Case:
    def model(k: Any) -> tuple[Any, Any]:
        x = k.Input((4,), name="x0")
        return x, make(k)(x)

    return Case("JaxLayer", label=label, make=model)


CASES = [
    _case("params", lambda k: k.layers.JaxLayer(perceptron, params=PARAMS, name="layer")),
    _case(
        "state",
        lambda k: k.layers.JaxLayer(
            averaging, params=np.full(4, 2, "f"), state={"mean": np.ones(4, "f")}, name="layer"
        ),
    ),
]


def _pair(case: Case) -> tuple[Any, Any]:
    keras.backend.clear_session()
    return case.model(kcompile), case.model(keras)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_training_steps(case: Case) -> None:
    ours, theirs = _pair(case)
    x = RNG.normal(size=(12, 4)).astype("f")
    y = np.zeros((12, *ours.output_shape[1:]), "f")
    for model in (ours, theirs):
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    assert [v.trainable for v in ours.weights] == [w.trainable for w in theirs.weights]
    for variable, weight in zip(ours.weights, theirs.weights, strict=True):
        checks.close(variable.numpy(), weight.numpy(), variable.path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exported_file(case: Case) -> None:
    ours, theirs = _pair(case)
    executable = kcompile.compile(ours)
    assert executable.report["verification"]["kcompile.verification.status"] == "passed"
    x = RNG.normal(size=(3, 4)).astype("f")
    (found,) = executable.run({"x0": x}).values()
    checks.close(found, theirs(x))


def test_weights_from_init_fn() -> None:
    def init(rng: Any, inputs: Any) -> Any:
        return {"kernel": jax.random.normal(rng, (inputs.shape[-1], 3))}

    layer = kcompile.layers.JaxLayer(lambda params, inputs: inputs @ params["kernel"], init)
    y = layer(np.ones((2, 4), "f"))
    np.testing.assert_allclose(y, np.tile(layer.params["kernel"].numpy().sum(0), (2, 1)), 1e-5)
    assert layer.trainable_weights == [layer.params["kernel"]]


def test_random_numbers_in_training_alone() -> None:
    def noisy(rng: Any, inputs: Any, training: bool) -> Any:
        assert (rng is not None) == training
        return inputs + jax.random.normal(rng, inputs.shape) if training else inputs

    layer = kcompile.layers.JaxLayer(noisy)
    x = np.zeros((2, 3), "f")
    np.testing.assert_array_equal(layer(x), x)
    first, second = np.asarray(layer(x, training=True)), np.asarray(layer(x, training=True))
    assert first.std() > 0 and not np.array_equal(first, second)


def test_refusals() -> None:
    JaxLayer = kcompile.layers.JaxLayer
    with pytest.raises(SpecError, match="needs init_fn, params or state"):
        JaxLayer(perceptron)
    with pytest.raises(SpecError, match="not 'x'"):
        JaxLayer(lambda x: x)
    with pytest.raises(SpecError, match="must take 'inputs'"):
        JaxLayer(lambda params: params, params=PARAMS)
    with pytest.raises(SpecError, match="Python code"):
        JaxLayer(perceptron, params=PARAMS).get_config()
    shrinking = JaxLayer(lambda state, inputs: (inputs, {}), state={"a": np.ones(1, "f")})
    with pytest.raises(SpecError, match="a state of 0 tensors; it has 1"):
        shrinking(np.ones((1, 2), "f"))


@pytest.mark.parametrize("name", ["FlaxLayer", "TFSMLayer", "TorchModuleWrapper"])
def test_what_is_missing_says_why(name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        getattr(kcompile.layers, name)(None)
