"""Learning rate schedules against Keras at many steps."""

import jax
import keras
import numpy as np
import pytest

from kcompile.ir.errors import SpecError
from kcompile.optimizers import schedules

CASES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 70, "decay_rate": 0.9}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 70, "decay_rate": 0.5, "staircase": True},
    ),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 70, "decay_rate": 0.9}),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 70, "decay_rate": 0.5, "staircase": True},
    ),
    ("PiecewiseConstantDecay", {"boundaries": [10, 25, 300], "values": [1.0, 0.5, 0.2, 0.1]}),
    ("PiecewiseConstantDecay", {"boundaries": [10.5], "values": [1.0, 0.5]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 70}),
    (
        "PolynomialDecay",
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 70,
            "end_learning_rate": 0.01,
            "power": 2.5,
            "cycle": True,
        },
    ),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 70}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 70, "warmup_steps": 20}),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.0,
            "decay_steps": 70,
            "alpha": 0.1,
            "warmup_target": 0.3,
            "warmup_steps": 20,
        },
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.0, "m_mul": 0.8},
    ),
    (
        "CosineDecayRestarts",
        {
            "initial_learning_rate": 0.1,
            "first_decay_steps": 16,
            "t_mul": 1.5,
            "m_mul": 0.9,
            "alpha": 0.05,
        },
    ),
]
STEPS = np.array([*range(0, 160), 170, 210, 299, 300, 301, 350, 511, 1000])


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_schedules_equal_keras(name, arguments):
    ours = getattr(schedules, name)(**arguments)
    theirs = getattr(keras.optimizers.schedules, name)(**arguments)
    expected = np.asarray(jax.jit(jax.vmap(theirs))(STEPS))
    # Keras computes in float32: near its zeros the cosine keeps absolute precision only.
    peak = np.abs(expected).max()
    np.testing.assert_allclose(ours(STEPS), expected, rtol=2e-6, atol=3e-7 * peak)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_one_step_or_many_give_the_same(name, arguments):
    schedule = getattr(schedules, name)(**arguments)
    many = schedule.over(STEPS)
    assert many.dtype == np.float32
    assert [schedule(step) for step in STEPS.tolist()] == many.tolist()


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_configs_are_those_of_keras(name, arguments):
    schedule = getattr(schedules, name)(**arguments)
    config = schedules.serialize(schedule)
    theirs = getattr(keras.optimizers.schedules, name)(**arguments)
    assert config == keras.optimizers.schedules.serialize(theirs)
    assert schedules.serialize(schedules.deserialize(config)) == config


def test_a_restart_falls_on_its_step():
    """Lengths 1, 10, 100, 1000: log(1000) / log(10) in floating point is less than 3."""
    schedule = schedules.CosineDecayRestarts(1.0, 1, t_mul=10.0)
    np.testing.assert_array_equal(schedule(np.array([0, 1, 11, 111, 1111])), np.ones(5))
    assert schedule(110) < 1e-3


def test_custom_schedules_need_take_one_step_only():
    class Halving(schedules.LearningRateSchedule):
        def __init__(self, start):
            self.start = start

        def __call__(self, step):
            return self.start if step < 2 else self.start / 2

    np.testing.assert_array_equal(Halving(1.0).over(np.arange(4)), [1.0, 1.0, 0.5, 0.5])
    config = schedules.serialize(Halving(3.0))
    assert schedules.deserialize(config, {"Halving": Halving}).start == 3.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.CosineDecay(0.1, 0), "decay_steps must be positive, got 0"),
        (lambda: schedules.ExponentialDecay(0.1, -1, 0.5), "decay_steps"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1]), "got 1 and 2"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "rise"),
        (lambda: schedules.deserialize({"class_name": "Cosine", "config": {}}), "unknown"),
        (
            lambda: schedules.deserialize(
                {
                    "class_name": "CosineDecay",
                    "config": {"initial_learning_rate": 1.0, "decay_steps": 3, "betta": 1},
                }
            ),
            "betta",
        ),
        (
            lambda: schedules.deserialize({"class_name": "CosineDecay", "config": {}}),
            "initial_learning_rate",
        ),
    ],
)
def test_what_is_not_understood_is_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()
