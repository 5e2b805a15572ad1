"""Layers against Keras beyond the conformance cases: statistics, dropout, odd configs."""

import json

import keras
import numpy as np
import pytest

from kcompile import layers, ops
from kcompile.models import Model
from kcompile.runtimes import reference
from tests.conformance.tables.core import TABLE

RTOL = 1e-5
ATOL = 1e-5

# XLA has no channels_first convolution and pooling on CPU in Keras' JAX backend for every kernel;
# these are compared to Keras with the data transposed.
CHANNELS_FIRST = {
    "AveragePooling2D": {"pool_size": 2, "padding": "same"},
    "Conv1D": {"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2},
    "Conv2D": {"filters": 4, "kernel_size": 3, "groups": 2},
    "GlobalAveragePooling2D": {"keepdims": True},
    "GlobalMaxPooling1D": {},
    "MaxPooling1D": {"pool_size": 3, "strides": 2},
    "MaxPooling2D": {},
    "ZeroPadding2D": {"padding": ((1, 0), (2, 3))},
}


def make_inputs(shape, batch=3):
    random = np.random.default_rng(0)
    if isinstance(shape, list):
        return [random.normal(size=(batch, *entry)).astype("f") for entry in shape]
    return random.normal(size=(batch, *shape)).astype("f")


def same_weights(ours, theirs):
    """Random weights, positive where they are variances, in both layers."""
    random = np.random.default_rng(1)
    values = [random.uniform(0.2, 1.0, size=w.shape).astype("f") for w in theirs.weights]
    theirs.set_weights(values)
    ours.set_weights(values)
    assert [v.name for v in ours.weights] == [w.name for w in theirs.weights]
    assert [v.trainable for v in ours.weights] == [w.trainable for w in theirs.weights]


def pair(name, config, inputs):
    """Our layer and Keras's, built on the inputs, with the same weights."""
    ours, theirs = getattr(layers, name)(**config), getattr(keras.layers, name)(**config)
    theirs(inputs)
    ours(inputs)
    same_weights(ours, theirs)
    return ours, theirs


def close(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, RTOL, ATOL)


def run_model(layer, inputs):
    """The layer in a functional model with an open batch, in the reference runtime."""
    many = isinstance(inputs, list)
    tensors = [layers.Input(x.shape[1:]) for x in (inputs if many else [inputs])]
    model = Model(tensors, layer(tensors if many else tensors[0]))
    arrays = dict(zip(model.input_names, inputs if many else [inputs], strict=True))
    arrays |= {path: variable.numpy() for path, variable in model.named_weights().items()}
    graph = model.graph()
    arrays = {entry.name: arrays[entry.name] for entry in graph.inputs}
    (output,) = reference.run(graph, arrays)[0].values()
    return output


@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_channels_first_is_channels_last_transposed(name):
    rank = int(name.rstrip("D")[-1])
    last = make_inputs((7, 6, 4)[-rank - 1 :])
    first = np.moveaxis(last, -1, 1)
    ours = getattr(layers, name)(**CHANNELS_FIRST[name], data_format="channels_first")
    theirs = getattr(keras.layers, name)(**CHANNELS_FIRST[name], data_format="channels_last")
    expected = theirs(last)
    ours(first)
    same_weights(ours, theirs)
    expected = np.asarray(theirs(last))
    if expected.ndim > 2:
        expected = np.moveaxis(expected, -1, 1)
    close(ours(first), expected)
    close(run_model(ours, first), expected)


@pytest.mark.parametrize("config", TABLE["BatchNormalization"][0], ids=json.dumps)
@pytest.mark.parametrize("shape", TABLE["BatchNormalization"][1], ids=str)
def test_batch_normalization_in_training_equals_keras(config, shape):
    inputs = make_inputs(shape, batch=4)
    ours, theirs = pair("BatchNormalization", config, inputs)
    for step in range(2):
        batch = inputs * (step + 1) + step
        close(ours(batch, training=True), theirs(batch, training=True))
        for variable, weight in zip(ours.weights, theirs.weights, strict=True):
            close(variable.numpy(), weight.numpy())
    close(ours(inputs), theirs(inputs))


def test_a_frozen_batch_normalization_infers_as_in_keras():
    inputs = make_inputs((3,), batch=4)
    ours, theirs = pair("BatchNormalization", {}, inputs)
    ours.trainable = theirs.trainable = False
    close(ours(inputs, training=True), theirs(inputs, training=True))
    for variable, weight in zip(ours.weights, theirs.weights, strict=True):
        close(variable.numpy(), weight.numpy())


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate):
    x = np.ones((100, 100), "f")
    y = np.asarray(layers.Dropout(rate)(x, training=True))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    # Six standard errors of a mean of 10,000 draws.
    assert abs(kept.mean() - (1 - rate)) < 6 * np.sqrt(rate * (1 - rate) / x.size)


def test_dropout_with_a_noise_shape_drops_whole_rows():
    y = np.asarray(layers.Dropout(0.5, noise_shape=(None, 1))(np.ones((64, 5), "f"), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert np.all(y == y[:, :1])


def test_dropout_of_everything_is_zero_as_in_keras():
    x = np.ones((3, 4), "f")
    close(layers.Dropout(1.0)(x, training=True), np.zeros((3, 4), "f"))


# Configs


def test_a_config_with_every_object_goes_both_ways():
    arguments = {
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": "l2",
    }
    ours = layers.Dense(3, **arguments, dtype="float64", trainable=False, name="d")
    theirs = keras.layers.Dense(3, **arguments, dtype="float64", trainable=False, name="d")
    our_config = json.loads(json.dumps(ours.get_config()))
    their_config = json.loads(json.dumps(theirs.get_config()))
    assert {key: their_config[key] for key in our_config} == our_config
    again = layers.Dense.from_config(their_config)
    assert again.get_config() == ours.get_config()
    assert again.kernel_regularizer.l2 == ours.kernel_regularizer.l2
    assert keras.layers.Dense.from_config(our_config).get_config() == theirs.get_config()


def test_an_inert_key_with_another_value_is_refused():
    config = {**layers.BatchNormalization().get_config(), "renorm": True}
    with pytest.raises(NotImplementedError, match="renorm=True"):
        layers.BatchNormalization.from_config(config)


def test_input_config_equals_keras():
    ours = layers.InputLayer((3, None), batch_size=2, dtype="int32", name="x").get_config()
    theirs = keras.layers.InputLayer((3, None), batch_size=2, dtype="int32", name="x").get_config()
    assert json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)
    assert layers.InputLayer.from_config(theirs).output.shape == (2, 3, None)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("add", "Add"),
        ("average", "Average"),
        ("concatenate", "Concatenate"),
        ("maximum", "Maximum"),
        ("minimum", "Minimum"),
        ("multiply", "Multiply"),
        ("subtract", "Subtract"),
    ],
)
def test_merging_functions_are_layers(function, name):
    inputs = make_inputs([(3,), (3,)])
    close(getattr(layers, function)(inputs), getattr(keras.layers, function)(inputs))
    a, b = layers.Input((3,)), layers.Input((3,))
    assert type(getattr(layers, function)([a, b]).node.operation).__name__ == name


def test_integer_inputs_are_cast_as_in_keras():
    x = np.arange(6).reshape(2, 3)
    ours, theirs = pair("Dense", {"units": 2}, x)
    close(ours(x), theirs(x))
    assert ops.cast(x, "int32").dtype == np.int32
