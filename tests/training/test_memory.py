"""What is no longer used is freed: models, their compiled programs, their Python functions."""

import gc
import weakref

import jax
import numpy as np
import pytest

import kcompile
from kcompile import Model, Sequential, layers, ops
from kcompile.ir.errors import ExportError

X = np.zeros((4, 3), "f")
Y = np.zeros((4, 1), "f")


class OwnStep(Model):
    """A model with a step of its own."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, state, data):
        return super().train_step(state, data)


def jax_code():
    return layers.Lambda(lambda x: jax.lax.digamma(x + 2.0))


def own_op():
    return layers.Lambda(lambda x: ops.tanh(x))


def of_layer(make):
    return lambda: Sequential([kcompile.Input((3,)), make(), layers.Dense(1)])


MODELS = {
    "dense": of_layer(lambda: layers.Dense(2)),
    "jax": of_layer(jax_code),
    "lambda": of_layer(own_op),
    "dropout": of_layer(lambda: layers.Dropout(0.5)),
    "own": OwnStep,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_used_is_freed_with_its_programs(name):
    model = MODELS[name]()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    functions = [layer.function for layer in model.layers if hasattr(layer, "function")]
    references = [weakref.ref(x) for x in (model, *model.layers, *functions)]
    del model, functions
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


def test_compiled_programs_go_with_their_model():
    client = jax.devices()[0].client

    def use(units):
        model = of_layer(lambda: layers.Dense(units))()
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
        model.predict(X, verbose=0)
        return len(client.live_executables())

    jax.clear_caches()
    gc.collect()
    counts = []
    for units in range(20, 26):
        counts.append(use(units))
        gc.collect()
    assert counts[-1] == counts[1] > 0


@pytest.mark.parametrize("name", ["dense", "jax", "lambda"])
def test_a_model_that_was_compiled_to_onnx_is_freed(name):
    model = MODELS[name]()
    if name == "jax":
        with pytest.raises(ExportError):
            kcompile.compile(model)
    else:
        kcompile.compile(model)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None
