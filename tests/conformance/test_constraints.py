"""Constraints and activity regularizers: training equals Keras's."""

import json

import keras
import numpy as np
import pytest

import kcompile
from kcompile import constraints, layers
from kcompile.ir.errors import SpecError

TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
rng = np.random.default_rng(0)
ROWS = rng.standard_normal((24, 6)).astype(np.float32)
STEPS = rng.standard_normal((24, 4, 3)).astype(np.float32)
IMAGES = rng.standard_normal((24, 6, 5, 2)).astype(np.float32)
TARGETS = rng.standard_normal((24, 3)).astype(np.float32)
L1L2 = {"class_name": "L1L2", "config": {"l1": 0.02, "l2": 0.03}}

CONSTRAINTS = [
    ("MaxNorm", {"max_value": 0.7}),
    ("MaxNorm", {"max_value": 0.3, "axis": 1}),
    ("MaxNorm", {"axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.6, "max_value": 0.8, "rate": 0.4, "axis": 1}),
]


def envelope(name, config):
    return {"module": "keras.constraints", "class_name": name, "config": config}


class Ours:
    layers, Model, Sequential = layers, kcompile.Model, kcompile.Sequential


def sequential(input_shape, *makers):
    """A model of the layers that the makers give, in kcompile or Keras."""

    def define(k):
        inner = [make(k.layers) for make in makers]
        return k.Sequential([k.layers.Input(input_shape), *inner])

    return define


def dense(**arguments):
    return lambda k: k.Dense(3, **arguments)


def train_three_steps(define, x, optimizer="sgd", targets=TARGETS):
    """Both models after three steps from the same weights: losses, evaluated losses, weights."""
    ours, theirs = define(Ours), define(keras)
    random = np.random.default_rng(1)
    start = [random.uniform(-0.5, 0.8, w.shape).astype("f") for w in theirs.weights]
    found = []
    for model in (ours, theirs):
        model.set_weights(start)
        model.compile(optimizer, "mse")
        options = {"batch_size": 9, "verbose": 0}
        history = model.fit(x, targets, epochs=1, shuffle=False, **options).history["loss"]
        found.append((history, model.evaluate(x, targets, **options), model.get_weights()))
    (history, loss, weights), (their_history, their_loss, their_weights) = found
    np.testing.assert_allclose(history, their_history, **TOLERANCE)
    np.testing.assert_allclose(loss, their_loss, **TOLERANCE)
    for ours_after, theirs_after in zip(weights, their_weights, strict=True):
        np.testing.assert_allclose(ours_after, theirs_after, **TOLERANCE)
    return start, weights


@pytest.mark.parametrize(("name", "config"), CONSTRAINTS, ids=str)
def test_a_constraint_gives_the_same_numbers_as_keras(name, config):
    w = rng.standard_normal((5, 4)).astype("f")
    w[:, 1] = 0
    ours = np.asarray(layers.Activation(constraints.get(envelope(name, config)))(w))
    np.testing.assert_allclose(ours, getattr(keras.constraints, name)(**config)(w), rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_with_constraints_equals_keras(optimizer):
    makers = [
        lambda k, e=entry: k.Dense(6, kernel_constraint=envelope(*e), bias_constraint="non_neg")
        for entry in CONSTRAINTS
    ]
    train_three_steps(sequential((6,), *makers, dense()), ROWS, optimizer)


def test_constraints_hold_after_training():
    define = sequential((6,), dense(kernel_constraint="unit_norm", bias_constraint="non_neg"))
    _, (kernel, bias) = train_three_steps(define, ROWS)
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1, rtol=1e-5)
    assert (bias >= 0).all()


def test_other_layers_have_constraints():
    define = sequential(
        (6, 5, 2),
        lambda k: k.Conv2D(4, 3, kernel_constraint=envelope("MaxNorm", {"axis": [0, 1, 2]})),
        lambda k: k.BatchNormalization(gamma_constraint="non_neg", beta_constraint="max_norm"),
        lambda k: k.Flatten(),
        dense(),
    )
    ours = define(Ours)
    found = {path: type(v.constraint).__name__ for path, v in ours.named_weights().items()}
    assert sorted(found.values()) == ["MaxNorm", "MaxNorm", "NonNeg", *["NoneType"] * 5]
    recurrent = sequential(
        (4, 3),
        lambda k: k.LSTM(3, recurrent_constraint="unit_norm", bias_constraint="non_neg"),
    )
    train_three_steps(recurrent, STEPS)


def test_a_frozen_weight_is_not_constrained():
    define = sequential((6,), dense(kernel_constraint="non_neg", trainable=False), dense())
    start, after = train_three_steps(define, ROWS)
    assert any(np.array_equal(start[0], w) or np.array_equal(start[2], w) for w in after)


def test_a_constraint_of_another_shape_is_refused():
    model = kcompile.Sequential([layers.Input((6,)), layers.Dense(3, kernel_constraint=abs_sum)])
    model.compile("sgd", "mse")
    with pytest.raises(SpecError, match="keeps the weight's shape"):
        model.fit(ROWS, TARGETS, verbose=0)


def abs_sum(w):
    return kcompile.ops.sum(kcompile.ops.absolute(w), axis=0)


@pytest.mark.parametrize(("name", "config"), CONSTRAINTS, ids=str)
def test_configs_go_both_ways(name, config):
    ours = layers.Dense(3, kernel_constraint=envelope(name, config), activity_regularizer=L1L2)
    theirs = keras.layers.Dense.from_config(ours.get_config())
    assert (
        theirs.get_config()["kernel_constraint"]["config"]
        == getattr(keras.constraints, name)(**config).get_config()
    )
    again = layers.Dense.from_config(json.loads(json.dumps(theirs.get_config())))
    assert again.get_config() == ours.get_config()
    serialized = constraints.serialize(ours.kernel_constraint)
    assert type(constraints.deserialize(serialized)) is type(ours.kernel_constraint)


def test_constraints_by_name_class_and_function():
    assert constraints.get(None) is None
    assert constraints.get(abs_sum) is abs_sum
    assert isinstance(constraints.get("min_max_norm"), constraints.MinMaxNorm)
    assert isinstance(constraints.get(constraints.NonNeg), constraints.NonNeg)
    with pytest.raises(SpecError, match="not a constraint"):
        constraints.get("negative")
    with pytest.raises(SpecError, match="min"):
        constraints.get(envelope("MaxNorm", {"min": 1}))


REGULARIZED = {
    "dense": ((6,), ROWS, [lambda k: k.Dense(4, "tanh", activity_regularizer=L1L2), dense()]),
    "last": ((6,), ROWS, [dense(activity_regularizer="l1")]),
    "layer": ((6,), ROWS, [dense(), lambda k: k.ActivityRegularization(0.1, 0.2)]),
    "convolution": (
        (6, 5, 2),
        IMAGES,
        [
            lambda k: k.Conv2D(4, 3, activity_regularizer=L1L2),
            lambda k: k.Flatten(),
            dense(kernel_regularizer="l2"),
        ],
    ),
    "recurrent": ((4, 3), STEPS, [lambda k: k.GRU(3, activity_regularizer=L1L2)]),
    "einsum": (
        (6,),
        ROWS,
        [lambda k: k.EinsumDense("ab,bc->ac", 3, activity_regularizer=L1L2)],
    ),
    "bidirectional": (
        (4, 3),
        STEPS,
        [lambda k: k.Bidirectional(k.LSTM(2, activity_regularizer=L1L2)), dense()],
    ),
    "wrapper": (
        (4, 3),
        STEPS,
        [lambda k: k.Bidirectional(k.LSTM(2), activity_regularizer=L1L2), dense()],
    ),
}


@pytest.mark.parametrize("case", REGULARIZED)
def test_training_with_an_activity_regularizer_equals_keras(case):
    shape, x, makers = REGULARIZED[case]
    train_three_steps(sequential(shape, *makers), x)


@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_attention_with_an_activity_regularizer_equals_keras(name):
    def define(k):
        x = k.layers.Input((4, 3))
        arguments = (2, 3) if name == "MultiHeadAttention" else (3, 2, 1)
        y = getattr(k.layers, name)(*arguments, activity_regularizer=L1L2)(x, x)
        return k.Model(x, k.layers.Dense(3)(k.layers.Flatten()(y)))

    train_three_steps(define, STEPS)


def test_a_layer_called_twice_is_regularized_twice():
    def define(k):
        x = k.layers.Input((6,))
        layer = k.layers.Dense(6, activity_regularizer=L1L2)
        return k.Model(x, layer(layer(x)))

    ours, theirs = define(Ours), define(keras)
    ours.set_weights(theirs.get_weights())
    outputs = np.asarray(theirs(ROWS))
    # Keras's own evaluate forgets the first call on JAX; the losses of its model have both.
    assert len(theirs.losses) == 2
    ours.compile("sgd", "mse")
    found = ours.evaluate(ROWS, outputs, batch_size=len(ROWS), verbose=0)
    np.testing.assert_allclose(found, sum(map(float, theirs.losses)), **TOLERANCE)


def test_add_loss_in_call_equals_keras():
    class Penalized(layers.Layer):
        def call(self, x):
            self.add_loss([0.1 * kcompile.ops.mean(x), kcompile.ops.square(x)])
            return x

    class TheirPenalized(keras.layers.Layer):
        def call(self, x):
            self.add_loss([0.1 * keras.ops.mean(x), keras.ops.square(x)])
            return x

    def define(k):
        layer = Penalized() if k is Ours else TheirPenalized()
        return k.Sequential([k.layers.Input((6,)), k.layers.Dense(3), layer])

    train_three_steps(define, ROWS)


def test_a_penalty_changes_no_output():
    shape, x, makers = REGULARIZED["dense"]
    model = sequential(shape, *makers)(Ours)
    executable = kcompile.compile(model)
    for batch in (1, 3):
        (found,) = executable.run(x[:batch]).values()
        np.testing.assert_allclose(found, model.predict(x[:batch], verbose=0), rtol=1e-5, atol=1e-6)


def test_where_a_penalty_is_not_there_yet():
    with pytest.raises(NotImplementedError, match="inner layer"):
        layers.TimeDistributed(layers.Dense(3, activity_regularizer="l1"))
    with pytest.raises(NotImplementedError, match="its cell"):
        layers.LSTMCell(3, activity_regularizer="l1")
