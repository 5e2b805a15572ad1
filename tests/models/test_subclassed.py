"""Subclasses of Model with a call of their own."""

import keras
import numpy as np
import pytest

from kcompile import layers, ops
from kcompile.ir.errors import SpecError
from kcompile.models import Model
from kcompile.runtimes import reference


def classifier(layers, model, softmax):
    """The same class on both libraries."""

    class Classifier(model):
        def __init__(self, units):
            super().__init__(name="classifier")
            self.hidden = layers.Dense(units, activation="relu", name="hidden")
            self.norm = layers.BatchNormalization(name="norm")
            self.out = layers.Dense(3, name="out")

        def call(self, inputs, training=False):
            return softmax(self.out(self.norm(self.hidden(inputs), training=training)))

    return Classifier(5)


def both():
    ours = classifier(layers, Model, ops.softmax)
    theirs = classifier(keras.layers, keras.Model, keras.ops.softmax)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("f")
    theirs(x)
    ours(x)
    ours.set_weights(theirs.get_weights())
    return ours, theirs, x


def test_outputs_and_training_equal_keras():
    ours, theirs, x = both()
    np.testing.assert_allclose(ours(x), theirs(x), 1e-5, 1e-6)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), 1e-4, 1e-5)
    for variable, weight in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), weight.numpy(), 1e-5, 1e-6)


def test_it_has_a_graph_with_an_open_batch():
    ours, theirs, _ = both()
    graph = ours.graph()
    assert [str(size) for size in graph.inputs[0].type.shape] == ["batch", "6"]
    assert len(ours.graph(training=True).updates) == 2
    x = np.random.default_rng(1).normal(size=(7, 6)).astype("f")
    weights = {path: variable.numpy() for path, variable in ours.named_weights().items()}
    (found,) = reference.run(graph, {"inputs": x, **weights})[0].values()
    np.testing.assert_allclose(found, theirs(x), 1e-5, 1e-6)


def test_build_makes_the_weights():
    model = classifier(layers, Model, ops.softmax)
    with pytest.raises(SpecError, match="does not know its inputs yet"):
        model.graph()
    model.build((None, 6))
    assert list(model.named_weights())[:2] == ["hidden/kernel", "hidden/bias"]
    assert model.count_params() == 35 + 20 + 18


class Pair(Model):
    """A dict in, a tuple out."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, name="dense")

    def call(self, inputs):
        return self.dense(inputs["a"]), inputs["a"] * inputs["b"]


def test_structures_of_inputs_and_outputs():
    model = Pair()
    a, b = np.ones((2, 3), "f"), np.full((2, 3), 2.0, "f")
    first, second = model({"a": a, "b": b})
    assert first.shape == (2, 2)
    np.testing.assert_array_equal(second, a * b)
    graph = model.graph()
    assert [entry.name for entry in graph.inputs[:2]] == ["a", "b"]
    assert [output.name for output in graph.outputs] == ["output_0", "output_1"]


def test_a_model_without_call():
    class Empty(Model):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no call"):
        Empty()(np.ones((2, 3), "f"))


def test_a_weight_of_its_own():
    class Scaled(Model):
        def build(self, input_shape):
            self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

        def call(self, inputs):
            return inputs * self.scale

    model = Scaled()
    np.testing.assert_array_equal(model(np.ones((2, 3), "f")), np.ones((2, 3)))
    assert list(model.named_weights()) == ["scale"]
    assert [entry.name for entry in model.graph().inputs] == ["inputs", "scale"]
