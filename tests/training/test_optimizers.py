"""Optimizers against Keras: ten steps on weights of several shapes."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from kcompile import optimizers
from kcompile.ir.errors import SpecError
from kcompile.runtimes.jax import optimizers as rules

NUM_STEPS = 10
SHAPES = {"dense/bias": (4,), "dense/kernel": (3, 4), "conv/kernel": (2, 3, 5), "scale": ()}
RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_2": 0.9, "epsilon": 1e-3}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Lamb", {}),
    ("Lion", {}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "rho": 0.8}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0}),
    ("Adadelta", {}),
    ("Adafactor", {}),
    ("Ftrl", {}),
    (
        "Ftrl",
        {
            "l1_regularization_strength": 0.1,
            "l2_regularization_strength": 0.2,
            "l2_shrinkage_regularization_strength": 0.05,
            "beta": 0.3,
            "learning_rate_power": -0.7,
        },
    ),
]
OPTIONS = [
    {"weight_decay": 0.05},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.7, "weight_decay": 0.01},
]


def keras_class(name):
    return getattr(keras.optimizers, name)


def start():
    random = np.random.default_rng(0)
    weights = {k: random.standard_normal(s).astype(np.float32) for k, s in SHAPES.items()}
    gradients = [
        {k: random.standard_normal(s).astype(np.float32) for k, s in SHAPES.items()}
        for _ in range(NUM_STEPS)
    ]
    return weights, gradients


def run_keras(optimizer):
    weights, gradients = start()
    variables = {k: keras.Variable(w, name=k.rsplit("/")[-1]) for k, w in weights.items()}
    trace = []
    for gradient in gradients:
        optimizer.apply([jnp.asarray(gradient[k]) for k in variables], list(variables.values()))
        trace.append({k: np.asarray(v.value) for k, v in variables.items()})
    return trace


def run_ours(optimizer):
    weights, gradients = start()
    transformation = optimizer.transformation()
    params = jax.tree.map(jnp.asarray, weights)
    state = transformation.init(params)

    @jax.jit
    def step(params, state, gradient, rate):
        updates, state = transformation.update(gradient, state, params, learning_rate=rate)
        return rules.apply_updates(params, updates), state

    trace = []
    for gradient, rate in zip(gradients, optimizer.learning_rates(0, NUM_STEPS), strict=True):
        params, state = step(params, state, gradient, rate)
        trace.append({k: np.asarray(v) for k, v in params.items()})
    return trace


def assert_same(ours, theirs):
    """Ten steps add up ten roundings of float32 (6e-8), relative to weights of about 1."""
    for step, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        for name in expected:
            np.testing.assert_allclose(
                mine[name], expected[name], rtol=2e-6, atol=3e-7, err_msg=f"step {step}, {name}"
            )


@pytest.mark.parametrize(("name", "arguments"), RULES)
def test_ten_steps_equal_keras(name, arguments):
    arguments = {"learning_rate": 0.02, **arguments}
    ours = getattr(optimizers, name)(**arguments)
    assert_same(run_ours(ours), run_keras(keras_class(name)(**arguments)))


@pytest.mark.parametrize(("name", "arguments"), RULES)
def test_ten_steps_on_a_schedule_with_decay_and_clipping_equal_keras(name, arguments):
    plan = {"initial_learning_rate": 0.05, "decay_steps": 8, "alpha": 0.1}
    arguments = {**arguments, "weight_decay": 0.02, "clipnorm": 0.8}
    ours = getattr(optimizers, name)(optimizers.schedules.CosineDecay(**plan), **arguments)
    theirs = keras_class(name)(keras.optimizers.schedules.CosineDecay(**plan), **arguments)
    assert_same(run_ours(ours), run_keras(theirs))


@pytest.mark.parametrize("options", OPTIONS, ids="+".join)
@pytest.mark.parametrize("name", ["Adam", "Lamb"])
def test_clipping_and_decay_equal_keras(name, options):
    """Adam looks at the gradients alone, Lamb at the weights too."""
    ours = getattr(optimizers, name)(0.02, **options)
    assert_same(run_ours(ours), run_keras(keras_class(name)(0.02, **options)))


def test_weight_decay_spares_excluded_weights():
    ours = optimizers.AdamW(0.02, weight_decay=0.3)
    theirs = keras.optimizers.AdamW(0.02, weight_decay=0.3)
    for optimizer in (ours, theirs):
        optimizer.exclude_from_weight_decay(var_names=["bias", "sca"])
    assert_same(run_ours(ours), run_keras(theirs))


@pytest.mark.parametrize(("name", "arguments"), RULES)
def test_states_hold_arrays_and_keep_their_types(name, arguments):
    """A state can be donated, saved and carried through a loop; so can one of bfloat16 weights."""
    transformation = getattr(optimizers, name)(**arguments).transformation()
    for dtype in (jnp.float32, jnp.bfloat16):
        params = {k: jnp.ones(s, dtype) for k, s in SHAPES.items()}
        state = transformation.init(params)
        updates, after = jax.eval_shape(
            transformation.update, params, state, params, learning_rate=0.1
        )
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
        assert jax.tree.structure(state) == jax.tree.structure(after)
        for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert {u.dtype for u in jax.tree.leaves(updates)} == {np.dtype(dtype)}


@pytest.mark.parametrize(("name", "arguments"), RULES)
def test_configs_are_those_of_keras(name, arguments):
    ours = getattr(optimizers, name)(**arguments)
    config = optimizers.serialize(ours)
    assert optimizers.serialize(optimizers.deserialize(config)) == config
    theirs = keras.optimizers.serialize(keras_class(name)(**arguments, name=ours.name))
    # Keras keeps the rate in float32.
    rate = np.float32(config["config"].pop("learning_rate"))
    assert rate == theirs["config"].pop("learning_rate")
    assert config["config"] == theirs["config"]
    assert (config["class_name"], config["module"]) == (theirs["class_name"], theirs["module"])


def test_default_names_are_those_of_keras():
    keras.backend.clear_session()  # which restarts the count of the names given
    for name in dict(RULES):
        assert getattr(optimizers, name)().name == keras_class(name)().name
        keras.backend.clear_session()


def test_configs_hold_schedules():
    ours = optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 100), clipnorm=1.0)
    config = optimizers.serialize(ours)
    theirs = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 100), clipnorm=1.0)
    assert config["config"]["learning_rate"] == theirs.get_config()["learning_rate"]
    again = optimizers.deserialize(config)
    assert again.learning_rate_at(50) == pytest.approx(0.05)
    assert optimizers.serialize(again) == config


@pytest.mark.parametrize("name", ["adam", "ADAM", "Adam", "rmsprop", "sgd", "adamW", "lamb"])
def test_names_in_any_case(name):
    assert type(optimizers.get(name)).__name__.lower() == name.lower()


def test_every_name_of_keras_is_known():
    skipped = {"optimizer", "optimizermap"}  # a base class and a helper
    for name in set(keras.optimizers.serialize.__globals__["ALL_OBJECTS_DICT"]) - skipped:
        if name == "lossscaleoptimizer":
            with pytest.raises(SpecError, match="inner_optimizer"):
                optimizers.get(name)
        elif name == "multioptimizer":
            with pytest.raises(NotImplementedError, match=name):
                optimizers.get(name)
        else:
            assert isinstance(optimizers.get(name), optimizers.Optimizer)


def test_get_passes_instances_and_classes():
    adam = optimizers.Adam()
    assert optimizers.get(None) is None
    assert optimizers.get(adam) is adam
    assert isinstance(optimizers.get(optimizers.Ftrl), optimizers.Ftrl)


@pytest.mark.parametrize(
    "make",
    [lambda: optax.adam(0.02), lambda: optax.chain(optax.clip(0.3), optax.sgd(0.1, 0.9))],
)
def test_optax_transformations_are_used_as_they_are(make):
    optimizer = optimizers.get(make())
    assert isinstance(optimizer, optimizers.OptaxOptimizer)
    weights, gradients = start()
    transformation = make()
    params = jax.tree.map(jnp.asarray, weights)
    state = transformation.init(params)
    for gradient in gradients:
        updates, state = transformation.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    ours = run_ours(optimizer)[-1]
    for name, expected in params.items():
        np.testing.assert_allclose(ours[name], expected, rtol=2e-6, atol=1e-7)


def test_an_optax_optimizer_hides_its_learning_rate():
    optimizer = optimizers.get(optax.adam(0.02))
    assert np.isnan(optimizer.learning_rate)
    assert np.isnan(optimizer.learning_rate_at(3))
    with pytest.raises(SpecError, match="cannot be set to 0.1"):
        optimizer.learning_rate = 0.1
    with pytest.raises(SpecError, match="no config"):
        optimizers.serialize(optimizer)


def test_a_custom_optimizer_is_an_update_rule():
    class SignDescent(optimizers.Optimizer):
        def update_rule(self, rules):
            return rules.lion(beta_1=0.0, beta_2=0.0)

    weights, gradients = start()
    ours = run_ours(SignDescent(0.1, clipvalue=1.0))[0]
    for name, weight in weights.items():
        expected = weight - np.float32(0.1) * np.sign(gradients[0][name])
        np.testing.assert_allclose(ours[name], expected, rtol=1e-6)


def test_learning_rates():
    rate = {"now": 0.5}
    assert optimizers.SGD(1).learning_rate_at(7) == 1.0
    assert optimizers.SGD(lambda: rate["now"]).learning_rate_at(7) == 0.5
    assert optimizers.SGD(lambda step: 1 / (step + 1)).learning_rate_at(7) == 0.125
    rates = optimizers.SGD(lambda step: 1 / (step + 1)).learning_rates(1, 3)
    np.testing.assert_allclose(rates, [1 / 2, 1 / 3, 1 / 4], rtol=1e-7)
    staircase = optimizers.schedules.PiecewiseConstantDecay([2], [1.0, 0.5])
    np.testing.assert_array_equal(optimizers.SGD(staircase).learning_rates(1, 3), [1.0, 1.0, 0.5])


def test_setting_the_learning_rate():
    optimizer = optimizers.Adam()
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == optimizer.learning_rate_at(0) == 0.5
    optimizer.learning_rate = optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert optimizer.learning_rate_at(10) == pytest.approx(0.05)
    with pytest.raises(SpecError, match="follows a ExponentialDecay"):
        optimizer.learning_rate = 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizers.get("adm"), "unknown optimizer 'adm'"),
        (lambda: optimizers.get(optimizers.Optimizer), "learning_rate"),
        (lambda: optimizers.get(3), "not an optimizer"),
        (lambda: optimizers.get({"class_name": "adam", "config": {"lr": 1.0}}), "'lr'"),
        (lambda: optimizers.get({"class_name": "adam", "extra": 1}), "extra"),
        (lambda: optimizers.Adam("fast"), "learning_rate must be a number"),
        (lambda: optimizers.Adam(True), "learning_rate must be a number"),
        (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), "only one clipping"),
        (lambda: optimizers.Adam(clipnorm=-1.0), "clipnorm must not be negative"),
        (lambda: optimizers.AdamW(weight_decay=None), "weight_decay"),
        (lambda: optimizers.SGD(momentum=1.5), "momentum"),
        (lambda: optimizers.SGD(gradient_accumulation_steps=1), "at least 2, got 1"),
        (lambda: optimizers.SGD(use_ema=True, ema_momentum=2.0), "ema_momentum must be in"),
        (lambda: optimizers.SGD(use_ema=True, ema_overwrite_frequency=0), "at least 1, got 0"),
        (
            lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0),
            "does not take clipnorm=1.0",
        ),
        (lambda: optimizers.Lion(beta_1=0.0), "beta_1"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), "learning_rate_power"),
        (lambda: optimizers.Ftrl(l1_regularization_strength=-1.0), "l1_regularization_strength"),
        (lambda: optimizers.SGD(lambda: 0.1).get_config(), "cannot be written"),
    ],
)
def test_what_is_not_understood_is_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()
