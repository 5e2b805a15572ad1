"""Initializers against Keras: values where they are fixed, distributions where they are drawn."""

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src.initializers.random_initializers import compute_fans as keras_fans

from kcompile import initializers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ops import seeds
from kcompile.utils.random import set_random_seed

SHAPES = [(), (5,), (3, 7), (2, 5, 7), (3, 3, 4, 8), (2, 3, 3, 4, 8), (1, 1), (0, 3)]
NAMED_SCALINGS = [
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LecunUniform",
    "LecunNormal",
]
# Moments are estimated over this many values; a bound of six standard errors fails by chance once
# in 10**9 runs, and the seeds are fixed besides.
NUM_DRAWN = 400_000
NUM_ERRORS = 6.0
TRUNCATED_STDDEV = 0.87962566103423978  # of a standard normal variable on [-2, 2]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Zeros", {}), ("Ones", {}), ("Constant", {"value": 2.5}), ("Constant", {})],
)
def test_constants_equal_keras(name, arguments, shape, dtype):
    ours = getattr(initializers, name)(**arguments)(shape, dtype)
    theirs = np.asarray(getattr(keras.initializers, name)(**arguments)(shape, dtype))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (1, 1), (0, 2)])
@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_identity_equals_keras(shape, gain):
    theirs = np.asarray(keras.initializers.Identity(gain)(shape))
    np.testing.assert_array_equal(initializers.Identity(gain)(shape), theirs)


def test_constant_array_broadcasts_as_in_keras():
    value = np.array([1.0, 2.0, 3.0], np.float32)
    theirs = np.asarray(keras.initializers.Constant(value)((4, 3)))
    np.testing.assert_array_equal(initializers.Constant(value)((4, 3)), theirs)


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (initializers.Identity(), (2, 2, 2)),
        (initializers.Orthogonal(), (4,)),
        (initializers.Constant(np.ones(3)), (2,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(initializer, shape):
    with pytest.raises(ShapeError, match=type(initializer).__name__):
        initializer(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_equal_keras(shape):
    assert initializers.compute_fans(shape) == keras_fans(shape)


def test_fans_over_given_axes_equal_keras():
    arguments = ((4, 5, 6, 7), [0, 1], [-1])
    assert initializers.compute_fans(*arguments) == keras_fans(*arguments) == (20, 7)


@pytest.mark.parametrize("name", NAMED_SCALINGS)
@pytest.mark.parametrize("shape", [(1000, 400), (5, 5, 80, 200)])
def test_named_scalings_have_keras_distribution(name, shape):
    initializer = getattr(initializers, name)(seed=11)
    theirs = getattr(keras.initializers, name)()
    fan_in, fan_out = keras_fans(shape)
    units = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    variance = theirs.scale / units[theirs.mode]
    assert initializer.variance(shape) == pytest.approx(variance, rel=1e-12)
    assert initializer.distribution == theirs.distribution
    values = initializer(shape)
    check_moments(values, 0.0, math.sqrt(variance))
    if theirs.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        assert np.abs(values).max() <= limit * (1 + 1e-6)
        assert np.abs(values).max() > 0.9999 * limit
    else:
        assert np.abs(values).max() <= 2 * math.sqrt(variance) / TRUNCATED_STDDEV * (1 + 1e-6)


@pytest.mark.parametrize(
    ("initializer", "mean", "stddev"),
    [
        (initializers.RandomNormal(0.3, 2.0, seed=1), 0.3, 2.0),
        (initializers.RandomUniform(-1.0, 3.0, seed=1), 1.0, 4.0 / math.sqrt(12)),
        (initializers.TruncatedNormal(0.3, 2.0, seed=1), 0.3, 2.0 * TRUNCATED_STDDEV),
        (
            initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=1),
            0.0,
            math.sqrt(3.0 / 800),
        ),
    ],
)
def test_moments(initializer, mean, stddev):
    check_moments(initializer((500, 800)), mean, stddev)


def check_moments(values, mean, stddev):
    values = values.astype(np.float64).ravel()
    assert values.size >= NUM_DRAWN
    mean_error = stddev / math.sqrt(values.size)
    assert abs(values.mean() - mean) < NUM_ERRORS * mean_error
    # The variance of the sample variance is (kurtosis - 1) / n * stddev**4; a normal's kurtosis, 3,
    # is the largest here.
    variance_error = math.sqrt(2.0 / values.size) * stddev**2
    assert abs(values.var() - stddev**2) < NUM_ERRORS * variance_error


def test_truncated_normal_has_no_pile_at_the_cut():
    values = initializers.TruncatedNormal(0.0, 1.0, seed=5)((NUM_DRAWN,))
    assert np.abs(values).max() <= 2.0
    mass = math.erf(math.sqrt(2.0))
    expected = (math.erf(2.0 / math.sqrt(2.0)) - math.erf(1.9 / math.sqrt(2.0))) / mass
    share = np.mean(np.abs(values) > 1.9)
    error = math.sqrt(expected * (1 - expected) / values.size)
    assert abs(share - expected) < NUM_ERRORS * error


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 3, 2, 5), (2, 2, 30)])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_orthogonal(shape, gain):
    matrix = initializers.Orthogonal(gain, seed=2)(shape).reshape(-1, shape[-1]).astype(np.float64)
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows < columns else matrix.T @ matrix
    np.testing.assert_allclose(product, gain**2 * np.eye(min(rows, columns)), atol=2e-6)


def test_a_seed_gives_the_same_values_on_each_call():
    initializer = initializers.HeNormal(seed=3)
    first = initializer((4, 5))
    np.testing.assert_array_equal(first, initializer((4, 5)))
    np.testing.assert_array_equal(first, initializer((4, 5), rng=np.random.default_rng(99)))
    assert not np.array_equal(first, initializers.HeNormal(seed=4)((4, 5)))


def test_without_a_seed_values_come_from_the_generator_of_the_call():
    initializer = initializers.GlorotUniform()
    first = initializer((4, 5), rng=seeds.stream(0, "dense", "kernel"))
    np.testing.assert_array_equal(
        first, initializer((4, 5), rng=seeds.stream(0, "dense", "kernel"))
    )
    assert not np.array_equal(first, initializer((4, 5), rng=seeds.stream(0, "dense", "bias")))


def test_set_random_seed_repeats_everything():
    def draw():
        import random

        return random.random(), np.random.rand(), initializers.RandomNormal()((2,)).tolist()

    set_random_seed(8)
    first, second = draw(), draw()
    set_random_seed(8)
    assert draw() == first
    assert first != second


def test_streams_are_the_same_in_other_processes():
    code = (
        "from kcompile.ops import seeds; seeds.set_global_seed(5);"
        "print(seeds.stream(7, 'a', 1).integers(2**60), seeds.next_seed())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    seeds.set_global_seed(5)
    assert outputs == {f"{seeds.stream(7, 'a', 1).integers(2**60)} {seeds.next_seed()}\n"}


def test_stream_keys_are_not_confused():
    keys = [
        (1, "a", "b"),
        (1, "ab"),
        (1, "a", 2),
        (1, "a", "2"),
        (12, "a"),
        (1, 2, "a"),
        (1,),
        (0,),
    ]
    assert len({int(seeds.stream(*key).integers(2**62)) for key in keys}) == len(keys)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_random_dtypes(dtype):
    assert initializers.HeUniform(seed=0)((3, 3), dtype).dtype.name == dtype


def test_random_integers_are_refused():
    with pytest.raises(SpecError, match="int32"):
        initializers.RandomUniform(0, 10)((3,), "int32")


# Keras itself cannot make a Constant from its name.
@pytest.mark.parametrize("name", sorted(set(initializers._TABLE) - {"Constant", "constant"}))
def test_every_name_is_one_of_keras(name):
    ours, theirs = initializers.get(name), keras.initializers.get(name)
    assert type(ours).__name__ == type(theirs).__name__
    # Keras leaves the gain of Identity out of its config.
    config = initializers.serialize(ours)
    theirs_config = keras.initializers.serialize(theirs)
    if type(theirs).__name__ == "Identity":
        assert config["config"].pop("gain") == theirs.gain
    assert config == theirs_config


@pytest.mark.parametrize(
    "initializer",
    [
        initializers.Constant(3),
        initializers.Constant(np.arange(6, dtype=np.float32).reshape(2, 3)),
        initializers.Identity(2.0),
        initializers.Orthogonal(0.5, seed=1),
        initializers.VarianceScaling(2.0, "fan_avg", "uniform", 4, [0], [1]),
        initializers.GlorotNormal(7),
        initializers.RandomNormal(1.0, 2.0, 3),
        initializers.RandomUniform(1.0, 2.0, 3),
        initializers.TruncatedNormal(1.0, 2.0, 3),
    ],
)
def test_configs_round_trip_here_and_through_keras(initializer):
    config = initializers.serialize(initializer)
    again = initializers.deserialize(config)
    assert initializers.serialize(again) == config
    shape = (2, 3)
    np.testing.assert_array_equal(initializer(shape), again(shape))
    through_keras = keras.initializers.serialize(keras.initializers.deserialize(config))
    through_keras["config"] = {**config["config"], **through_keras["config"]}
    assert initializers.serialize(initializers.get(through_keras)) == config


def test_get_passes_instances_classes_and_functions():
    def halves(shape, dtype=None):
        return np.full(shape, 0.5)

    zeros = initializers.Zeros()
    assert initializers.get(None) is None
    assert initializers.get(zeros) is zeros
    assert initializers.get(halves) is halves
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    value = initializers.initial_value(halves, (2, 2), "float32", rng=np.random.default_rng(0))
    np.testing.assert_array_equal(value, np.full((2, 2), 0.5, np.float32))
    assert value.dtype == np.float32


def test_initial_value_passes_the_generator_on():
    drawn = initializers.initial_value(
        initializers.RandomNormal(), (3,), rng=np.random.default_rng(4)
    )
    np.testing.assert_array_equal(
        drawn, initializers.RandomNormal()((3,), rng=np.random.default_rng(4))
    )


def test_initial_value_checks_the_shape():
    with pytest.raises(ShapeError, match="gave shape"):
        initializers.initial_value(lambda shape, dtype: np.zeros(3), (2, 2))


def test_custom_classes_round_trip_through_custom_objects():
    class Halves(initializers.Initializer):
        def __init__(self, factor=0.5):
            self.factor = factor

        def __call__(self, shape, dtype="float32", *, rng=None):
            return np.full(shape, self.factor, dtype)

    config = initializers.serialize(Halves(0.25))
    again = initializers.deserialize(config, {"Halves": Halves})
    np.testing.assert_array_equal(again((2,)), [0.25, 0.25])
    with pytest.raises(SpecError, match="unknown initializer 'Halves'"):
        initializers.deserialize(config)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("glorot", "unknown initializer 'glorot'"),
        ("os.system", "unknown initializer"),
        (3, "not an initializer"),
        (dict, "not an initializer"),
        ({"config": {}}, "class_name"),
        ({"class_name": "Zeros", "config": []}, "must be a mapping"),
        ({"class_name": "Zeros", "surprise": 1}, "surprise"),
        ({"class_name": "HeNormal", "config": {"sed": 1}}, "sed"),
        ({"class_name": "HeNormal", "config": {"seed": "x"}}, "seed must be an int"),
        ({"class_name": "HeNormal", "config": {"seed": -1}}, "negative"),
        ({"class_name": "VarianceScaling", "config": {"mode": "fan"}}, "mode"),
        ({"class_name": "VarianceScaling", "config": {"scale": 0.0}}, "scale"),
        ({"class_name": "VarianceScaling", "config": {"scale": "x"}}, "VarianceScaling"),
        ({"class_name": "VarianceScaling", "config": {"distribution": 1}}, "VarianceScaling"),
        ({"class_name": "VarianceScaling", "config": {"distribution": "x"}}, "distribution"),
        ({"class_name": "Constant", "config": {"value": {"class_name": "f"}}}, "Constant"),
    ],
)
def test_what_is_not_understood_is_refused(identifier, message):
    with pytest.raises(SpecError, match=message):
        initializers.get(identifier)


@pytest.mark.parametrize("name", ["STFT", "stft", "STFTInitializer"])
def test_every_name_of_the_fourier_kernels_is_known(name):
    assert type(initializers.get(name)) is initializers.STFT


def test_functions_have_no_config():
    with pytest.raises(SpecError, match="cannot be written"):
        initializers.serialize(lambda shape, dtype: np.zeros(shape))
