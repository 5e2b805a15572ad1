"""Sequential models: how inputs become known, and how layers come and go."""

import keras
import numpy as np
import pytest

from kcompile import layers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.models import Sequential

FIRST = {
    "an Input": lambda k: [k.layers.Input((4,)), k.layers.Dense(3)],
    "input_shape": lambda k: [k.layers.Dense(3, input_shape=(4,))],
    "input_dim": lambda k: [k.layers.Dense(3, input_dim=4)],
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_the_input_is_known_as_in_keras(first):
    import kcompile

    if first == "input_dim":  # Keras 3 takes it for a Sequential's first layer only by name
        theirs = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    else:
        theirs = keras.Sequential(FIRST[first](keras))
    ours = Sequential(FIRST[first](kcompile))
    assert ours.built
    assert ours.input_shape == theirs.input_shape == (None, 4)
    assert ours.output_shape == theirs.output_shape == (None, 3)
    assert [type(layer).__name__ for layer in ours.layers] == ["Dense"]
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("f")
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), 1e-5, 1e-6)


def test_batch_input_shape_fixes_the_batch():
    model = Sequential([layers.Dense(3, batch_input_shape=(2, 4))])
    assert model.input_shape == (2, 4)


def test_add_and_pop_as_in_keras():
    ours, theirs = Sequential(), keras.Sequential()
    for module, model in ((layers, ours), (keras.layers, theirs)):
        model.add(module.Input((4,)))
        model.add(module.Dense(3, name="a"))
        model.add(module.Dense(2, name="b"))
        model.add(module.Activation("softmax", name="c"))
        model.pop()
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert ours.output_shape == theirs.output_shape == (None, 2)
    kernel = ours.layers[0].get_weights()[0]
    ours.add(layers.Dense(5))
    assert ours.output_shape == (None, 5)
    np.testing.assert_array_equal(ours.layers[0].get_weights()[0], kernel)


def test_the_first_data_build_it():
    model = Sequential([layers.Flatten(), layers.Dense(3), layers.Activation("relu")])
    assert not model.built and model.weights == []
    with pytest.raises(SpecError, match="does not know its inputs yet.*build"):
        model.graph()
    assert model(np.ones((2, 3, 4), "f")).shape == (2, 3)
    assert model.input_shape == (None, 3, 4)
    assert model(np.ones((5, 3, 4), "f")).shape == (5, 3)


def test_build_with_a_shape():
    model = Sequential([layers.Dense(3), layers.Dense(2)])
    model.build((None, 4))
    assert [v.shape for v in model.weights] == [(4, 3), (3,), (3, 2), (2,)]
    assert model.input_shape == (None, 4)


def test_a_model_first_in_a_sequential():
    inner = Sequential([layers.Input((4,), name="x"), layers.Dense(3, name="d")], name="inner")
    model = Sequential([inner, layers.Dense(2, name="out")])
    assert model.input_shape == (None, 4)
    assert list(model.named_weights())[0] == "inner/d/kernel"
    assert model(np.ones((2, 4), "f")).shape == (2, 2)


def test_an_open_time_axis():
    model = Sequential([layers.Input((None, 4)), layers.Conv1D(2, 3, padding="same")])
    assert model.output_shape == (None, None, 2)
    assert model(np.ones((1, 7, 4), "f")).shape == (1, 7, 2)
    assert model(np.ones((1, 2, 4), "f")).shape == (1, 2, 2)


def test_freezing_the_model():
    model = Sequential([layers.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    model.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 6
    assert not model.graph(training=True).updates


def test_a_model_made_frozen():
    model = Sequential([layers.Input((4,)), layers.Dense(3)], trainable=False)
    model.add(layers.Dense(2))
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 4


def test_pop_back_to_the_input():
    model = Sequential([layers.Input((4,)), layers.Dense(3)])
    model.pop()
    assert not model.built and model.layers == []
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)


# Errors


def test_two_layers_of_one_name():
    with pytest.raises(SpecError, match="model 'm': two layers are named 'same'"):
        Sequential([layers.Dense(2, name="same"), layers.Dense(2, name="same")], name="m")


def test_what_is_no_layer():
    with pytest.raises(SpecError, match="takes layers, got 'relu'"):
        Sequential(["relu"])
    with pytest.raises(SpecError, match="an Input can only come first"):
        Sequential([layers.Dense(2), layers.Input((3,))])
    with pytest.raises(SpecError, match="no layer to take off"):
        Sequential().pop()
    with pytest.raises(SpecError, match="has no layers"):
        Sequential().build((None, 3))


def test_a_layer_that_does_not_fit_names_model_and_layer():
    with pytest.raises(ShapeError, match="model 'm'.*layer 'conv'.*rank 4"):
        Sequential([layers.Input((4,)), layers.Conv2D(3, 3, name="conv")], name="m")


def test_a_failed_add_leaves_the_model_as_it_was():
    model = Sequential([layers.Input((4,)), layers.Dense(3)])
    with pytest.raises(ShapeError):
        model.add(layers.Conv2D(3, 3))
    assert len(model.layers) == 1
    assert model.output_shape == (None, 3)
