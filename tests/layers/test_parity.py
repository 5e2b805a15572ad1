"""Every layer against Keras: outputs, updates and configs, for all arguments that matter."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from kcompile import layers, ops
from kcompile.layers import LAYERS, InputLayer
from kcompile.models import Model
from kcompile.runtimes import reference

RTOL = 1e-5
ATOL = 1e-5

#: Config keys of Keras that say nothing here: `from_config` accepts them at their defaults.
INERT = {"quantization_config", *layers.BatchNormalization.inert_config}

POOLING = [{}, {"strides": 1}, {"padding": "same"}, {"pool_size": 3, "strides": 2}]
ODD_POOLING = [*POOLING, {"pool_size": 3, "padding": "same", "strides": 2}]
CONVOLUTION = [
    {},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"strides": 2},
    {"dilation_rate": 2},
    {"dilation_rate": 2, "padding": "same"},
    {"use_bias": False, "activation": "relu"},
    {"groups": 2, "filters": 4},
    {"kernel_size": 1},
    {"kernel_size": 2, "padding": "same", "strides": 2},
]
ACTIVATIONS = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish"),
    "tanh",
]

# Layer: (configurations, shapes without the batch). A list of shapes is one call on several inputs.
LINE, IMAGE, VOLUME = [(7, 4), (5, 2)], [(7, 6, 4), (5, 5, 2)], [(5, 4, 6, 2)]
MERGE = [[(3, 4), (3, 4)], [(3, 4), (1, 4)], [(3, 4), (4,)], [(5,), (5,), (5,)], [(1,), (1,)]]
CASES = {
    "Activation": ([{"activation": name} for name in ACTIVATIONS], [(5,), (3, 4)]),
    "Add": ([{}], MERGE),
    "Average": ([{}], MERGE),
    "AveragePooling1D": ([{"pool_size": 2, **config} for config in ODD_POOLING], LINE),
    "AveragePooling2D": (
        [*({"pool_size": 2, **c} for c in ODD_POOLING), {"pool_size": (3, 1), "strides": (1, 2)}],
        [*IMAGE, (3, 3, 1)],
    ),
    "AveragePooling3D": ([{"pool_size": 2, **config} for config in ODD_POOLING], VOLUME),
    "BatchNormalization": (
        [{}, {"center": False}, {"scale": False}, {"axis": 1}, {"epsilon": 0.1, "momentum": 0.5}],
        [(4,), (3, 4), (5, 3, 2), (2, 3, 4, 1)],
    ),
    "Concatenate": (
        [{}, {"axis": 1}, {"axis": -2}],
        [[(3, 4), (3, 4)], [(1, 2), (1, 2), (1, 2)]],
    ),
    "Conv1D": ([{"filters": 3, "kernel_size": 3, **config} for config in CONVOLUTION], LINE),
    "Conv2D": (
        [
            *({"filters": 3, "kernel_size": 3, **config} for config in CONVOLUTION),
            {"filters": 2, "kernel_size": (1, 3), "strides": (2, 1), "padding": "same"},
        ],
        IMAGE,
    ),
    "Conv3D": ([{"filters": 3, "kernel_size": 3, **c} for c in CONVOLUTION[:4]], [(5, 4, 6, 2)]),
    "Dense": (
        [{"units": 3}, {"units": 1, "use_bias": False}, {"units": 5, "activation": "tanh"}],
        [(4,), (1,), (3, 4), (2, 1, 3)],
    ),
    "Dropout": ([{"rate": 0.5}, {"rate": 0, "noise_shape": (None, 1), "seed": 3}], [(4,), (2, 3)]),
    "ELU": ([{}, {"alpha": 0.3}], [(5,), (3, 4)]),
    "Flatten": ([{}, {"data_format": "channels_first"}], [(4,), (3, 4), (2, 3, 4), (1, 1, 3, 2)]),
    "GlobalAveragePooling1D": ([{}, {"keepdims": True}], LINE),
    "GlobalAveragePooling2D": ([{}, {"keepdims": True}], IMAGE),
    "GlobalAveragePooling3D": ([{}, {"keepdims": True}], VOLUME),
    "GlobalMaxPooling1D": ([{}, {"keepdims": True}], LINE),
    "GlobalMaxPooling2D": ([{}, {"keepdims": True}], IMAGE),
    "GlobalMaxPooling3D": ([{}, {"keepdims": True}], VOLUME),
    "Identity": ([{}], [(3,), (2, 3)]),
    "LeakyReLU": ([{}, {"negative_slope": 0.1}], [(5,), (3, 4)]),
    "MaxPooling1D": (ODD_POOLING, LINE),
    "MaxPooling2D": ([*ODD_POOLING, {"pool_size": (3, 1), "strides": (1, 2)}], IMAGE),
    "MaxPooling3D": (ODD_POOLING, VOLUME),
    "Maximum": ([{}], MERGE),
    "Minimum": ([{}], MERGE),
    "Multiply": ([{}], MERGE),
    "Permute": ([{"dims": (2, 1, 3)}, {"dims": (3, 1, 2)}], [(2, 3, 4), (1, 3, 1)]),
    "ReLU": (
        [
            {},
            {"max_value": 0.5},
            {"negative_slope": 0.2},
            {"threshold": 0.3},
            {"max_value": 0.6, "negative_slope": 0.1, "threshold": 0.2},
        ],
        [(5,), (3, 4)],
    ),
    "Reshape": ([{"target_shape": (3, 4)}, {"target_shape": (-1, 2)}], [(12,), (2, 6), (1, 12)]),
    "Softmax": ([{}, {"axis": 1}, {"axis": -2}], [(3, 4), (2, 2)]),
    "Subtract": ([{}], [shapes for shapes in MERGE if len(shapes) == 2]),
    "ZeroPadding2D": (
        [{}, {"padding": 2}, {"padding": (0, 1)}, {"padding": ((1, 0), (2, 3))}],
        [(3, 4, 2), (1, 1, 1)],
    ),
}
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


def every_case():
    for name, (configs, shapes) in CASES.items():
        for config in configs:
            for shape in shapes:
                label = f"{name}-{json.dumps(config)}-{shape}".replace(" ", "")
                yield pytest.param(name, config, shape, id=label)


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


@pytest.mark.parametrize(("name", "config", "shape"), list(every_case()))
def test_outputs_equal_keras(name, config, shape):
    inputs = make_inputs(shape)
    ours, theirs = pair(name, config, inputs)
    expected = theirs(inputs)
    close(ours(inputs), expected)
    close(run_model(ours, inputs), expected)


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


def test_every_layer_has_cases():
    conformance = Path(__file__).parents[1] / "conformance"
    texts = "".join(path.read_text() for path in sorted(conformance.glob("test_*.py")))
    covered = {cls for name, cls in LAYERS.items() if name in CASES or f'"{name}"' in texts}
    assert set(CASES) <= set(LAYERS)
    assert set(LAYERS.values()) - covered == {InputLayer}


@pytest.mark.parametrize("config", CASES["BatchNormalization"][0], ids=json.dumps)
@pytest.mark.parametrize("shape", CASES["BatchNormalization"][1], ids=str)
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


def config_cases():
    for name, (configs, _) in CASES.items():
        for config in configs:
            yield pytest.param(name, config, id=f"{name}-{json.dumps(config)}".replace(" ", ""))


@pytest.mark.parametrize(("name", "config"), list(config_cases()))
def test_configs_go_both_ways(name, config):
    ours = getattr(layers, name)(**config, name="a_layer")
    theirs = getattr(keras.layers, name)(**config, name="a_layer")
    our_config = json.loads(json.dumps(ours.get_config()))
    their_config = json.loads(json.dumps(theirs.get_config(), default=keras_value))
    assert set(their_config) - set(our_config) <= INERT
    assert set(our_config) <= set(their_config)
    assert {key: their_config[key] for key in our_config} == our_config
    again = type(ours).from_config(their_config)
    assert json.loads(json.dumps(again.get_config())) == our_config
    loaded = type(theirs).from_config(our_config)
    assert json.loads(json.dumps(loaded.get_config(), default=keras_value)) == their_config


def keras_value(value):
    """Keras leaves some objects in configs for its own serializer."""
    return keras.saving.serialize_keras_object(value)


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
