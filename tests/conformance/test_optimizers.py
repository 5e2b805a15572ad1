"""Optimizers against Keras: ten steps of every argument that changes the computation."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from kcompile import ops, optimizers
from kcompile.runtimes.jax import optimizer_wrappers as wrappers
from kcompile.runtimes.jax import optimizers as rules

NUM_STEPS = 10
SHAPES = {"dense/bias": (4,), "dense/kernel": (3, 4), "embedding/kernel": (5, 2), "tall": (6, 2)}
#: Optimizers with their own arguments.
CONFIGURATIONS = [
    ("Muon", {}),
    ("Muon", {"nesterov": False, "rms_rate": None, "ns_steps": 3, "momentum": 0.5}),
    ("Muon", {"exclude_layers": ["^dense"], "exclude_embeddings": False, "adam_lr_ratio": 0.5}),
    ("Muon", {"weight_decay": 0.3, "adam_weight_decay": 0.1, "adam_beta_1": 0.5, "epsilon": 0.1}),
    ("Muon", {"weight_decay": None, "adam_weight_decay": None, "muon_a": 3.0, "muon_c": 1.5}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 4, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
    ("ScheduleFreeAdamW", {"weight_decay": 0.1, "clipnorm": 0.5}),
]
#: What all optimizers take, in the combinations that meet.
OPTIONS = [
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "clipnorm": 0.3, "weight_decay": 0.1},
    {"gradient_accumulation_steps": 4, "global_clipnorm": 0.3, "loss_scale_factor": 8.0},
    {"use_ema": True, "ema_momentum": 0.7},
    {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3, "clipvalue": 0.2},
    {"use_ema": True, "ema_overwrite_frequency": 2, "gradient_accumulation_steps": 2},
    {"loss_scale_factor": 128.0, "weight_decay": 0.05},
]

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("SGD", "Muon")]


def start():
    random = np.random.default_rng(0)
    weights = {k: random.standard_normal(s).astype(np.float32) for k, s in SHAPES.items()}
    gradients = [
        {k: random.standard_normal(s).astype(np.float32) for k, s in SHAPES.items()}
        for _ in range(NUM_STEPS)
    ]
    return weights, gradients


class Variable(keras.Variable):
    """A Keras variable with a path of its own."""

    def __init__(self, value, path):
        super().__init__(value, name=path.rsplit("/", 1)[-1])
        self._path = path


def run_keras(optimizer, gradients_of=lambda gradient, step: gradient):
    """Weights after each step, under `jax.jit`: Keras op by op takes seconds."""
    weights, gradients = start()
    variables = [Variable(weight, path) for path, weight in weights.items()]
    optimizer.build(variables)

    @jax.jit
    def step(state, gradients, values):
        return optimizer.stateless_apply(state, gradients, values)

    values = [v.value for v in variables]
    state = [v.value for v in optimizer.variables]
    trace = []
    for number, gradient in enumerate(gradients):
        given = [jnp.asarray(gradients_of(gradient[k], number)) for k in weights]
        values, state = step(state, given, values)
        trace.append(dict(zip(weights, map(np.asarray, values), strict=True)))
    return trace, state


def run_ours(optimizer, gradients_of=lambda gradient, step: gradient):
    weights, gradients = start()
    transformation = optimizer.transformation()
    params = jax.tree.map(jnp.asarray, weights)
    state = transformation.init(params)

    @jax.jit
    def step(params, state, gradient, rate):
        updates, state = transformation.update(gradient, state, params, learning_rate=rate)
        return rules.apply_updates(params, updates), state

    rates = optimizer.learning_rates(0, NUM_STEPS)
    trace = []
    for number, gradient in enumerate(gradients):
        given = {k: gradients_of(g, number) for k, g in gradient.items()}
        rate = rates[number - int(wrappers.num_skipped(state))]
        params, state = step(params, state, given, rate)
        trace.append({k: np.asarray(v) for k, v in params.items()})
    return trace, state


def assert_same(ours, theirs):
    """Ten steps add up ten roundings of float32 (6e-8), relative to weights of about 1."""
    for step, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        for name in expected:
            np.testing.assert_allclose(
                mine[name], expected[name], rtol=2e-6, atol=1e-6, err_msg=f"step {step}, {name}"
            )


@pytest.mark.parametrize(("name", "arguments"), CONFIGURATIONS)
def test_ten_steps_equal_keras(name, arguments):
    arguments = {"learning_rate": 0.02, **arguments}
    ours, _ = run_ours(getattr(optimizers, name)(**arguments))
    theirs, _ = run_keras(getattr(keras.optimizers, name)(**arguments))
    assert_same(ours, theirs)


@pytest.mark.parametrize("options", OPTIONS, ids="+".join)
@pytest.mark.parametrize("name", ["Adam", *SLOW])
def test_options_of_all_optimizers_equal_keras(name, options):
    """On a schedule: with accumulation every step counts, the ones between updates too."""
    plan = {"initial_learning_rate": 0.05, "decay_steps": 4, "decay_rate": 0.5}
    ours = getattr(optimizers, name)(optimizers.schedules.ExponentialDecay(**plan), **options)
    schedule = keras.optimizers.schedules.ExponentialDecay(**plan)
    theirs = getattr(keras.optimizers, name)(schedule, **options)
    trace, state = run_ours(ours)
    expected, variables = run_keras(theirs)
    assert_same(trace, expected)
    if "use_ema" in options:
        averages = wrappers.averages(state)
        kept = dict(zip((v.name for v in theirs.variables), variables, strict=True))
        for path in SHAPES:
            mine, wanted = averages[path], kept[f"{path.replace('/', '_')}_average"]
            np.testing.assert_allclose(mine, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("growth", [2, 3, 2000])
def test_loss_scale_optimizer_equals_keras(growth):
    """Gradients that are not finite, at the start, in between and twice running."""

    def gradients_of(gradient, step):
        return gradient * np.float32({0: np.inf, 4: np.nan, 5: np.inf}.get(step, 64.0))

    plan = {"initial_learning_rate": 0.05, "decay_steps": 4, "decay_rate": 0.5}
    arguments = {"initial_scale": 64.0, "dynamic_growth_steps": growth}
    inner = optimizers.SGD(optimizers.schedules.ExponentialDecay(**plan), momentum=0.9)
    ours, state = run_ours(optimizers.LossScaleOptimizer(inner, **arguments), gradients_of)
    schedule = keras.optimizers.schedules.ExponentialDecay(**plan)
    reference = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(schedule, momentum=0.9), **arguments
    )
    theirs, variables = run_keras(reference, gradients_of)
    assert_same(ours, theirs)
    kept = dict(zip((v.name for v in reference.variables), variables, strict=True))
    assert float(state.scale) == float(kept["dynamic_scale"])
    assert int(state.num_finite) == int(kept["step_counter"])
    assert int(state.num_skipped) == 3


def test_weights_left_out_of_decay_equal_keras():
    ours = optimizers.AdamW(0.02, weight_decay=0.3)
    theirs = keras.optimizers.AdamW(0.02, weight_decay=0.3)
    ours.exclude_from_weight_decay(var_names=["bias", "ta"])
    theirs.exclude_from_weight_decay(var_names=["bias", "ta"])
    assert_same(run_ours(ours)[0], run_keras(theirs)[0])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [*CONFIGURATIONS, *(("Adam", options) for options in OPTIONS)],
)
def test_configs_go_both_ways(name, arguments):
    ours = getattr(optimizers, name)(learning_rate=0.25, **arguments)
    theirs = getattr(keras.optimizers, name)(learning_rate=0.25, **arguments)
    config = optimizers.serialize(ours)
    assert config["config"] == {**theirs.get_config(), "name": ours.name}
    assert keras.optimizers.deserialize(config).get_config() == config["config"]
    again = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert again.get_config() == theirs.get_config()


def test_config_of_a_loss_scale_optimizer():
    ours = optimizers.LossScaleOptimizer(optimizers.Adam(0.25), 8.0, 5)
    config = optimizers.serialize(ours)
    theirs = keras.optimizers.deserialize(config)
    assert theirs.inner_optimizer.get_config() == ours.inner_optimizer.get_config()
    again = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert (again.initial_scale, again.dynamic_growth_steps) == (8.0, 5)
    assert again.learning_rate == 0.25


def own(library, ops):
    """Momentum with a counter, in Keras's form."""

    class Own(library.Optimizer):
        def __init__(self, factor=0.9, **options):
            super().__init__(**options)
            self.factor = factor

        def build(self, variables):
            super().build(variables)
            self.moments, self.spreads = self.add_optimizer_variables(
                variables, ["moment", "spread"], ["zeros", "ones"]
            )
            self.count = self.add_variable(shape=(), name="count")

        def update_step(self, gradient, variable, learning_rate):
            index = self._get_variable_index(variable)
            moment, spread = self.moments[index], self.spreads[index]
            step = ops.cast(self.iterations + 1, variable.dtype)
            self.assign_add(moment, (gradient - moment) * (1 - self.factor))
            self.assign(spread, ops.maximum(spread, ops.absolute(gradient)))
            self.assign_sub(variable, learning_rate * moment / spread / ops.sqrt(step))
            self.assign_add(self.count, 1.0)

    return Own


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1, "clipnorm": 0.5, "gradient_accumulation_steps": 2}]
)
def test_an_optimizer_of_ones_own_equals_the_same_in_keras(options):
    ours, _ = run_ours(own(optimizers, ops)(learning_rate=0.1, **options))
    theirs, _ = run_keras(own(keras.optimizers, keras.ops)(learning_rate=0.1, **options))
    assert_same(ours, theirs)


def test_a_function_is_an_optimizer():
    optimizer = optimizers.get(lambda gradient, weight, rate: weight - rate * ops.sign(gradient))
    assert isinstance(optimizer, optimizers.FunctionOptimizer)
    ours, _ = run_ours(optimizer)
    weights, gradients = start()
    for name, weight in weights.items():
        expected = weight - np.float32(0.01) * np.sign(gradients[0][name])
        np.testing.assert_allclose(ours[0][name], expected, rtol=1e-6)


def test_an_optimizer_without_a_rule_says_so():
    with pytest.raises(NotImplementedError, match="must define update_rule or update_step"):
        optimizers.Optimizer(0.1).transformation()
