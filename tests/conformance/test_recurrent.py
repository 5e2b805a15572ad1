"""Masks and recurrent layers against Keras: outputs, gradients, exports, configs, files."""

import json

import jax
import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers, ops
from kcompile.models import Model, Sequential
from tests.conformance.tables.recurrent import CONFIGS, MODELS, VARIANTS

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def inputs_of(model, rows, steps, seed=0):
    """Sequences with masked steps: at the start, in the middle, at the end, and all of them."""
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in model.inputs:
        sizes = [rows, *(steps if size is None else size for size in tensor.shape[1:])]
        if tensor.dtype == "int32":
            array = rng.integers(1, 5, sizes).astype("int32")
        else:
            array = rng.normal(size=sizes).astype("f")
        if len(sizes) > 1:
            masked = rng.random(sizes[:2]) < 0.35
            masked[-1] = rows > 1
            array[masked] = 0
        arrays.append(array)
    return arrays


def pair(make):
    """The model by ours and by Keras, with the same weights."""
    keras.backend.clear_session()
    theirs = keras.Model(*make(keras.layers, keras.ops))
    ours = Model(*make(layers, ops))
    rng = np.random.default_rng(1)
    values = [rng.uniform(-0.7, 0.7, w.shape).astype("f") for w in theirs.weights]
    theirs.set_weights(values)
    ours.set_weights(values)
    assert [v.name for v in ours.weights] == [w.name for w in theirs.weights]
    return ours, theirs


def in_list(outputs):
    return list(jax.tree.leaves(outputs))


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_go_both_ways(name):
    make = CONFIGS[name]
    ours, theirs = make(layers), make(keras.layers)
    our_config = json.loads(json.dumps(ours.get_config()))
    their_config = json.loads(json.dumps(theirs.get_config(), default=_serialized))
    again = type(ours).from_config(their_config)
    assert json.loads(json.dumps(again.get_config())) == our_config
    loaded = type(theirs).from_config(json.loads(json.dumps(our_config)))
    assert json.loads(json.dumps(loaded.get_config(), default=_serialized)) == their_config


def _serialized(value):
    return keras.saving.serialize_keras_object(value)


@pytest.mark.parametrize("name", ["bidirectional-concat", "stacked", "lstm", "embedding"])
def test_weight_files_go_both_ways(name, tmp_path):
    ours, theirs = pair(MODELS[name])
    x = inputs_of(ours, 2, 4)[0]
    theirs.save_weights(tmp_path / "keras.weights.h5")
    ours.set_weights([np.zeros_like(w) for w in ours.get_weights()])
    ours.load_weights(tmp_path / "keras.weights.h5")
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs(x), **TOLERANCE)
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.set_weights([np.zeros_like(w) for w in theirs.get_weights()])
    theirs.load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs(x), **TOLERANCE)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
def test_losses_and_metrics_use_the_mask(loss, weighted):
    ours, theirs = pair(MODELS["masked-outputs"])
    x = inputs_of(ours, 4, 5)[0]
    y = np.random.default_rng(3).integers(0, 2, (4, 5, 2)).astype("f")
    weights = np.random.default_rng(4).uniform(0.5, 2, (4, 5)).astype("f") if weighted else None
    for model in (ours, theirs):
        model.compile("sgd", loss, metrics=["mae"], weighted_metrics=["mse"])
    found = ours.evaluate(x, y, sample_weight=weights, batch_size=4, verbose=0)
    expected = theirs.evaluate(x, y, sample_weight=weights, batch_size=4, verbose=0)
    np.testing.assert_allclose(found, expected, **TOLERANCE)
    for model in (ours, theirs):
        model.fit(x, y, sample_weight=weights, batch_size=4, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "SimpleRNNCell"])
def test_cells_alone_equal_keras(name):
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(3, 2)).astype("f"), rng.normal(size=(3, 4)).astype("f")
    states = [h, h * 0.5] if name == "LSTMCell" else [h]
    theirs = getattr(keras.layers, name)(4)
    expected = theirs(x, states)
    ours = getattr(layers, name)(4)
    ours(x, states)
    ours.set_weights(theirs.get_weights())
    for a, b in zip(in_list(ours(x, states)), in_list(expected), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)


def test_the_forget_gates_are_open_at_first():
    layer = layers.LSTM(3)
    layer.build((None, None, 2))
    bias = layer.weights[2].numpy()
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6
    closed = layers.LSTM(3, unit_forget_bias=False)
    closed.build((None, None, 2))
    assert not closed.weights[2].numpy().any()


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}])
def test_dropout_is_for_training(layer, options):
    x = np.ones((64, 3, 5), "f")
    made = getattr(layers, layer)(4, bias_initializer="ones", **options)
    plain = made(x)
    np.testing.assert_array_equal(plain, made(x))
    noisy = np.asarray(made(x, training=True))
    assert np.isfinite(noisy).all()
    assert np.abs(noisy - plain).max() > 1e-3
    assert len(np.unique(noisy, axis=0)) > 1


def test_dropout_draws_once_for_all_steps():
    """With an identity for a kernel and no recurrence, dropped channels are 0 at every step."""
    made = layers.SimpleRNN(6, "linear", dropout=0.5, return_sequences=True)
    made.build((None, None, 6))
    made.set_weights([np.eye(6), np.zeros((6, 6)), np.zeros(6)])
    y = np.asarray(made(np.ones((8, 4, 6), "f"), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1]).all()


class Minimal(layers.Layer):
    """A cell of one's own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        y = ops.tanh(ops.matmul(inputs, self.kernel) + 0.5 * states[0])
        return y, [y]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "go_backwards": True}])
def test_a_cell_of_ones_own_equals_a_simple_rnn(options, masked):
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("f")
    mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool) if masked else None
    own = layers.RNN(Minimal(3), **options)
    own(x)
    known = layers.SimpleRNN(3, use_bias=False, **options)
    known(x)
    known.set_weights([own.get_weights()[0], 0.5 * np.eye(3)])
    np.testing.assert_allclose(own(x, mask=mask), known(x, mask=mask), **TOLERANCE)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.LSTM(0), ValueError, "units must be a positive integer"),
        (
            lambda: layers.LSTM(2, activation="gelu")(np.ones((1, 2, 3))),
            NotImplementedError,
            "gelu",
        ),
        (lambda: layers.LSTM(2, unroll=True)(layers.Input((None, 3))), ValueError, "to unroll"),
        (lambda: layers.RNN(3), ValueError, "is no cell"),
        (lambda: layers.LSTM(2)(np.ones((1, 2, 3)), initial_state=[1]), ValueError, "2 initial"),
        (lambda: layers.Bidirectional(layers.Dense(2)), ValueError, "wraps recurrent"),
        (lambda: layers.Bidirectional(layers.GRU(2), "max"), ValueError, "merge_mode"),
        (
            lambda: layers.Bidirectional(layers.GRU(2), backward_layer=layers.GRU(2)),
            ValueError,
            "go_backwards must differ",
        ),
        (lambda: layers.TimeDistributed(3), ValueError, "wraps a layer"),
        (lambda: layers.TimeDistributed(layers.Dense(1))(np.ones((2, 3))), ValueError, "rank 3"),
        (lambda: layers.Embedding(0, 2), ValueError, "input_dim"),
    ],
)
def test_what_is_not_understood_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_that_loses_the_mask_says_so():
    model = Sequential([layers.Input((3, 2)), layers.Masking(), layers.Flatten()])
    with pytest.warns(UserWarning, match="does not pass on the mask"):
        model.graph()


@pytest.mark.parametrize("variant", VARIANTS)
def test_time_distributed_statistics_are_gathered_at_each_step(variant):
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("f")
    ours = layers.TimeDistributed(layers.BatchNormalization(**variant))
    theirs = keras.layers.TimeDistributed(keras.layers.BatchNormalization(**variant))
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), **TOLERANCE)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)


def test_the_models_hold_every_layer_of_the_family():
    """`Wrapper` is only a base class, of `TimeDistributed`."""
    found = [layer for make in CONFIGS.values() for layer in _with_inner(make(layers))]
    kinds = {base.__name__ for layer in found for base in type(layer).__mro__}
    assert kinds >= {
        *("Bidirectional", "Embedding", "GRU", "GRUCell", "LSTM", "LSTMCell", "Masking", "RNN"),
        *("SimpleRNN", "SimpleRNNCell", "StackedRNNCells", "TimeDistributed", "Wrapper"),
    }


def _with_inner(layer):
    return [layer, *(found for inner in layer._sublayers for found in _with_inner(inner))]


def cell_of(k):
    """A cell by that library whose output is not its state."""

    class Cell(k.layers.Layer):
        state_size = output_size = 2

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 2), initializer="ones")

        def call(self, x, states, training=False):
            state = k.ops.tanh(k.ops.matmul(x, self.kernel) + states[0])
            return 2 * state, [state]

    return Cell()


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_custom_cell_skips_masked_steps_as_in_keras(unroll, backwards):
    options = {"unroll": unroll, "go_backwards": backwards}
    x = np.random.default_rng(0).normal(size=(3, 5, 3)).astype("f")
    x[:, :2] = x[1, 3] = x[0, 4] = x[2] = 0
    results = []
    for k in (keras, kcompile):
        sequences, state = k.Input((5, 3)), k.Input((2,))
        masked = k.layers.Masking()(sequences)
        outputs = [
            k.layers.RNN(cell_of(k), return_sequences=whole, **options)(
                masked, initial_state=[state]
            )
            for whole in (False, True)
        ]
        results.append(in_list(k.Model([sequences, state], outputs)([x, np.ones((3, 2), "f")])))
    for found, expected in zip(*reversed(results), strict=True):
        np.testing.assert_allclose(found, expected, **TOLERANCE)
