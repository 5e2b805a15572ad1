"""Layers of noise: nothing at inference, the right moments in training, the same with a seed."""

import json
import math

import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import SpecError
from kcompile.passes.to_inference import to_inference

X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype("f")
#: Keras's layer, its arguments, the shape of an input.
CASES = [
    ("GaussianNoise", {"stddev": 0.3}, (4, 5)),
    ("GaussianNoise", {"stddev": 0.0, "seed": 3}, (1,)),
    ("GaussianDropout", {"rate": 0.3}, (4, 5)),
    ("GaussianDropout", {"rate": 0, "seed": 1}, (5,)),
    ("AlphaDropout", {"rate": 0.2}, (4, 5)),
    ("AlphaDropout", {"rate": 0.2, "noise_shape": [None, 1, 5], "seed": 7}, (4, 5)),
    ("SpatialDropout1D", {"rate": 0.5}, (4, 5)),
    ("SpatialDropout2D", {"rate": 0.5, "seed": 2}, (4, 3, 5)),
    ("SpatialDropout2D", {"rate": 0.5, "data_format": "channels_first"}, (4, 3, 5)),
    ("SpatialDropout3D", {"rate": 0.5}, (2, 4, 3, 5)),
    ("SpatialDropout3D", {"rate": 0.5, "data_format": "channels_first"}, (2, 4, 3, 5)),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (4, 5)),
]
NOISY = [case for case in CASES[:-1] if case[1].get("stddev", case[1].get("rate"))]


def make(name, config):
    return getattr(layers, name)(**config)


@pytest.mark.parametrize(("name", "config", "shape"), CASES, ids=str)
def test_inference_passes_inputs_through(name, config, shape):
    x = layers.Input(shape)
    executable = kcompile.compile(kcompile.Model(x, make(name, config)(x)))
    for batch in (1, 3):
        given = np.random.default_rng(0).standard_normal((batch, *shape)).astype("f")
        np.testing.assert_array_equal(make(name, config)(given), given)
        (found,) = executable.run(given).values()
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize(("name", "config", "shape"), CASES, ids=str)
def test_configs_go_both_ways(name, config, shape):
    ours = make(name, {**config, "name": "a_layer"})
    theirs = getattr(keras.layers, name)(**config, name="a_layer")
    our_config = json.loads(json.dumps(ours.get_config()))
    their_config = json.loads(
        json.dumps(theirs.get_config(), default=keras.saving.serialize_keras_object)
    )
    assert our_config == their_config
    assert type(ours).from_config(their_config).get_config() == ours.get_config()
    assert type(theirs).from_config(our_config).get_config() == theirs.get_config()


@pytest.mark.parametrize(("name", "config", "shape"), NOISY, ids=str)
def test_noise_is_reproducible_and_differs_from_step_to_step(name, config, shape):
    def train():
        kcompile.utils.set_random_seed(5)
        x = layers.Input(shape)
        y = layers.Flatten()(make(name, config)(x))
        model = kcompile.Model(x, layers.Dense(1, kernel_initializer="ones")(y))
        model.compile("sgd", "mse")
        given = np.ones((4, *shape), "f")
        return [model.train_on_batch(given, np.zeros((4, 1), "f")) for _ in range(2)]

    first, second = train(), train()
    assert first == second
    eager = make(name, config)
    given = np.ones((4, *shape), "f")
    assert not np.array_equal(eager(given, training=True), eager(given, training=True))


def moments(noise):
    """Mean, variance, skewness and kurtosis."""
    centered = noise - noise.mean()
    deviation = centered.std()
    return noise.mean(), deviation**2, *((centered / deviation) ** k for k in (3, 4))


def check_normal(noise):
    """Six standard errors of each moment of a normal distribution."""
    noise = np.asarray(noise, np.float64).ravel()
    error = 6 / math.sqrt(noise.size)
    mean, variance, third, fourth = moments(noise)
    assert abs(mean) < error
    assert abs(variance - 1) < error * math.sqrt(2)
    assert abs(third.mean()) < error * math.sqrt(6)
    assert abs(fourth.mean() - 3) < error * math.sqrt(24)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < error
    within = np.mean(np.abs(noise) < 1)
    assert abs(within - math.erf(1 / math.sqrt(2))) < error / 2


def test_gaussian_noise_is_normal():
    x = np.full((200, 500), 2.0, "f")
    y = np.asarray(layers.GaussianNoise(0.5)(x, training=True))
    check_normal((y - 2.0) / 0.5)


def test_gaussian_dropout_is_normal():
    x = np.full((200, 500), 3.0, "f")
    y = np.asarray(layers.GaussianDropout(0.2)(x, training=True))
    check_normal((y / 3.0 - 1.0) / 0.5)


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(1).standard_normal((200, 500)).astype("f")
    y = np.asarray(layers.AlphaDropout(0.3)(x, training=True), np.float64)
    error = 6 / math.sqrt(x.size)
    assert abs(y.mean()) < error
    assert abs(y.var() - 1) < 2 * error
    alpha_p = -1.7580993408473766
    scale = (0.7 * (1 + 0.3 * alpha_p**2)) ** -0.5
    dropped = np.isclose(y, scale * alpha_p * 0.7, rtol=1e-5)
    assert abs(dropped.mean() - 0.3) < error
    kept = scale * (x - alpha_p * 0.3)
    np.testing.assert_allclose(y[~dropped], kept[~dropped], rtol=1e-5, atol=1e-6)


def test_alpha_dropout_with_a_noise_shape():
    y = np.asarray(layers.AlphaDropout(0.5, (None, 1))(np.ones((64, 5), "f"), training=True))
    assert len(np.unique(y)) == 2
    assert np.all(y == y[:, :1])


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("SpatialDropout1D", (64, 4, 5), (1,)),
        ("SpatialDropout2D", (64, 4, 3, 5), (1, 2)),
        ("SpatialDropout3D", (64, 2, 4, 3, 5), (1, 2, 3)),
    ],
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_spatial_dropout_drops_channels(name, shape, axes, data_format):
    config = {} if name.endswith("1D") else {"data_format": data_format}
    if config.get("data_format") == "channels_first":
        axes = tuple(axis + 1 for axis in axes)
    y = np.asarray(make(name, {"rate": 0.5, **config})(np.ones(shape, "f"), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert np.array_equal(y.min(axes), y.max(axes))
    channels = y.max(axes)
    # Six standard errors.
    assert abs((channels > 0).mean() - 0.5) < 3 / math.sqrt(channels.size)


def test_noise_in_training_cannot_be_turned_into_inference():
    x = layers.Input((3,))
    noisy = kcompile.Model(x, layers.GaussianNoise(0.1, name="noise")(x))
    with pytest.raises(SpecError, match="noise"):
        to_inference(noisy.graph(training=True))
    to_inference(noisy.graph())
    forced = kcompile.Model(x, layers.GaussianNoise(0.1)(x, training=True))
    assert len(to_inference(forced.graph()).nodes) == len(forced.graph().nodes)


@pytest.mark.parametrize("name", ["GaussianNoise", "GaussianDropout", "AlphaDropout"])
def test_amounts_of_noise_are_checked(name):
    with pytest.raises(SpecError, match="must be in"):
        getattr(layers, name)(1.5)


@pytest.mark.parametrize("name", ["GaussianDropout", "AlphaDropout"])
def test_training_needs_a_rate_below_one(name):
    with pytest.raises(SpecError, match="rate 1"):
        getattr(layers, name)(1.0)(X, training=True)
