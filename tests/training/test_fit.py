"""`fit` against Keras: the same initial weights, three epochs, the same numbers."""

import keras
import numpy as np
import optax
import pytest

import kcompile
from kcompile import layers, optimizers
from kcompile.training import blocks

TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
rng = np.random.default_rng(0)
ROWS = rng.standard_normal((50, 6)).astype(np.float32)
IMAGES = rng.standard_normal((21, 8, 8, 2)).astype(np.float32)
NUMBERS = rng.integers(0, 3, 50)
ONE_HOT = np.eye(3, dtype=np.float32)[NUMBERS]
WEIGHTS = rng.uniform(0.2, 2.0, 50).astype(np.float32)


class Ours:
    layers, Model, Sequential = layers, kcompile.Model, kcompile.Sequential
    optimizers, regularizers = optimizers, kcompile.regularizers


def dense(k):
    return k.Sequential(
        [
            k.layers.Input((6,)),
            k.layers.Dense(8, activation="relu"),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def normalized(k):
    return k.Sequential(
        [
            k.layers.Input((6,)),
            k.layers.Dense(8, use_bias=False),  # a bias here has a gradient of rounding errors
            k.layers.BatchNormalization(momentum=0.8),
            k.layers.Activation("relu"),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def convolutional(k):
    return k.Sequential(
        [
            k.layers.Input((8, 8, 2)),
            k.layers.Conv2D(4, 3, use_bias=False),
            k.layers.BatchNormalization(momentum=0.7),
            k.layers.Activation("relu"),
            k.layers.MaxPooling2D(),
            k.layers.Conv2D(4, 3, padding="same", strides=2),
            k.layers.Flatten(),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def shared(k):
    a, b = k.layers.Input((6,), name="a"), k.layers.Input((6,), name="b")
    layer = k.layers.Dense(4, activation="tanh")
    merged = k.layers.Concatenate()([layer(a), layer(b)])
    return k.Model([a, b], k.layers.Dense(3, activation="softmax")(merged))


def two_outputs(k):
    a, b = k.layers.Input((6,), name="a"), k.layers.Input((6,), name="b")
    hidden = k.layers.Dense(5, activation="relu")(k.layers.Add()([a, b]))
    first = k.layers.Dense(3, activation="softmax", name="kind")(hidden)
    second = k.layers.Dense(1, name="size")(hidden)
    return k.Model([a, b], [first, second])


def regularized(k):
    return k.Sequential(
        [
            k.layers.Input((6,)),
            k.layers.Dense(4, activation="relu", kernel_regularizer=k.regularizers.L2(0.05)),
            k.layers.Dense(1, bias_regularizer="l1"),
        ]
    )


def pair(define):
    ours, theirs = define(Ours), define(keras)
    theirs.set_weights([start(w.shape, i) for i, w in enumerate(theirs.get_weights())])
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def start(shape, seed):
    # Variances have to be positive: only what has two axes or more gets both signs.
    return np.random.default_rng(seed).uniform(-0.5 if len(shape) > 1 else 0.1, 0.7, shape)


def fit_both(define, compile_with, x, y, **options):
    """The two models after three epochs without shuffling, and their histories."""
    options = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, **options}
    models = pair(define)
    histories = []
    for model, k in zip(models, (Ours, keras), strict=True):
        arguments = compile_with(k) if callable(compile_with) else compile_with
        model.compile(**arguments)
        histories.append(model.fit(x, y, **options).history)
    return *models, *histories


def assert_same(ours, theirs, our_history, their_history):
    assert list(our_history) == list(their_history)
    for name, expected in their_history.items():
        np.testing.assert_allclose(our_history[name], expected, **TOLERANCE, err_msg=name)
    for variable, value in zip(ours.weights, theirs.get_weights(), strict=True):
        np.testing.assert_allclose(variable.numpy(), value, **TOLERANCE, err_msg=variable.path)


CATEGORICAL = {
    "optimizer": "adam",
    "loss": "categorical_crossentropy",
    "metrics": ["accuracy"],
}


@pytest.mark.parametrize(("define", "optimizer"), [(dense, "rmsprop"), (normalized, "adam")])
def test_dense_models_with_a_partial_last_batch(define, optimizer):
    compiled = {**CATEGORICAL, "optimizer": optimizer}
    assert_same(*fit_both(define, compiled, ROWS, ONE_HOT, validation_split=0.25))


def test_a_convolutional_model():
    assert_same(*fit_both(convolutional, CATEGORICAL, IMAGES, ONE_HOT[:21], batch_size=8, epochs=2))


def test_sparse_labels_and_a_separate_validation_set():
    compiled = {**CATEGORICAL, "loss": "sparse_categorical_crossentropy"}
    validation = (ROWS[:9], NUMBERS[:9], WEIGHTS[:9])
    options = {"validation_batch_size": 4, "validation_freq": [1, 3]}
    results = fit_both(dense, compiled, ROWS, NUMBERS, validation_data=validation, **options)
    assert_same(*results)
    assert len(results[2]["val_loss"]) == 2


def test_sample_weights():
    compiled = {**CATEGORICAL, "weighted_metrics": ["accuracy"]}
    assert_same(*fit_both(dense, compiled, ROWS, ONE_HOT, sample_weight=WEIGHTS))


def test_class_weights():
    weights = {0: 0.5, 2: 3.0}
    assert_same(*fit_both(dense, CATEGORICAL, ROWS, ONE_HOT, class_weight=weights))


def test_a_shared_layer_and_dict_inputs():
    x = {"a": ROWS, "b": ROWS[::-1].copy()}
    assert_same(*fit_both(shared, CATEGORICAL, x, ONE_HOT))


def test_two_inputs_and_two_outputs():
    sizes = ROWS.sum(axis=1, keepdims=True)
    compiled = {
        "optimizer": "adam",
        "loss": {"kind": "categorical_crossentropy", "size": "mse"},
        "loss_weights": {"kind": 0.7, "size": 2.0},
        "metrics": {"kind": ["accuracy"], "size": ["mae"]},
    }
    y = {"kind": ONE_HOT, "size": sizes}
    results = fit_both(two_outputs, compiled, [ROWS, ROWS * 0.5], y, validation_split=0.2)
    assert_same(*results)
    ours, theirs = results[:2]
    given = ([ROWS, ROWS * 0.5], y)
    assert ours.evaluate(*given, verbose=0) == pytest.approx(
        theirs.evaluate(*given, verbose=0), rel=1e-5
    )


def test_regularization_is_in_the_reported_loss():
    target = ROWS.sum(axis=1)
    results = fit_both(
        regularized, {"optimizer": "sgd", "loss": "mse"}, ROWS, target, validation_split=0.1
    )
    assert_same(*results)


def test_a_frozen_layer():
    def define(k):
        model = normalized(k)
        model.layers[0].trainable = False
        model.layers[1].trainable = False
        return model

    ours, theirs, *histories = fit_both(define, CATEGORICAL, ROWS, ONE_HOT)
    assert_same(ours, theirs, *histories)
    before = pair(define)[0]
    np.testing.assert_array_equal(before.weights[0].numpy(), ours.weights[0].numpy())


def test_what_was_trainable_at_compile_is_trained():
    model = dense(Ours)
    model.compile(**CATEGORICAL)
    model.layers[0].trainable = False
    before = model.get_weights()
    with pytest.warns(UserWarning, match="trainable has changed since compile"):
        model.fit(ROWS, ONE_HOT, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])
    assert not model.layers[0].trainable
    model.compile(**CATEGORICAL)
    before = model.get_weights()
    model.fit(ROWS, ONE_HOT, verbose=0)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_a_learning_rate_schedule():
    def compiled(k):
        schedule = k.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
        return {**CATEGORICAL, "optimizer": k.optimizers.SGD(schedule)}

    assert_same(*fit_both(dense, compiled, ROWS, ONE_HOT))


def test_an_optax_transformation():
    def compiled(k):
        ours = optax.sgd(0.05, momentum=0.9)
        theirs = keras.optimizers.SGD(0.05, momentum=0.9)
        return {**CATEGORICAL, "optimizer": ours if k is Ours else theirs}

    assert_same(*fit_both(dense, compiled, ROWS, ONE_HOT))


def test_steps_per_epoch_go_on_through_the_data():
    expected = pytest.warns(UserWarning)
    results = []
    for model in pair(dense):
        model.compile(**CATEGORICAL)
        with expected:
            history = model.fit(
                ROWS,
                ONE_HOT,
                batch_size=10,
                epochs=3,
                steps_per_epoch=3,
                shuffle=False,
                verbose=0,
            )
        results.append((model, history.history))
    (ours, our_history), (theirs, their_history) = results
    assert_same(ours, theirs, our_history, their_history)


def test_a_second_fit_goes_on_with_the_optimizer_and_compiles_nothing():
    models = pair(dense)
    for model in models:
        model.compile(**CATEGORICAL)
        model.fit(ROWS, ONE_HOT, shuffle=False, verbose=0)
    ours, theirs = models
    programs = dict(ours.trainer.cache.steps)
    sizes = {key: program.loop._cache_size() for key, program in programs.items()}
    histories = [m.fit(ROWS, ONE_HOT, shuffle=False, verbose=0, epochs=2).history for m in models]
    assert_same(ours, theirs, *histories)
    assert programs == ours.trainer.cache.steps
    assert sizes == {key: program.loop._cache_size() for key, program in programs.items()}


def test_train_on_batch():
    ours, theirs = pair(normalized)
    for model in (ours, theirs):
        model.compile(**CATEGORICAL)
    for begin in (0, 20, 40):
        rows = slice(begin, begin + 20)
        expected = theirs.train_on_batch(ROWS[rows], ONE_HOT[rows])
        assert ours.train_on_batch(ROWS[rows], ONE_HOT[rows]) == pytest.approx(expected, rel=1e-5)
        expected = theirs.test_on_batch(ROWS[rows], ONE_HOT[rows])
        assert ours.test_on_batch(ROWS[rows], ONE_HOT[rows]) == pytest.approx(expected, rel=1e-5)
    assert_same(ours, theirs, {}, {})


def test_blocks_of_data_that_are_not_resident(monkeypatch):
    resident = dense(Ours)
    streamed = dense(Ours)
    streamed.set_weights(resident.get_weights())
    for model in (resident, streamed):
        model.compile(**CATEGORICAL)
        model.trainer._seed = 7
    history = resident.fit(ROWS, ONE_HOT, batch_size=4, epochs=3, verbose=0).history
    monkeypatch.setattr(blocks, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 500)
    assert streamed.fit(ROWS, ONE_HOT, batch_size=4, epochs=3, verbose=0).history == history
    for a, b in zip(resident.get_weights(), streamed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_float64_and_lists_and_small_integers():
    history = []
    for x, y in (
        (ROWS.round(), ONE_HOT),
        (ROWS.round().astype(np.float64), ONE_HOT.astype(np.float64)),
        (ROWS.round().tolist(), ONE_HOT.tolist()),
        (ROWS.round().astype(np.int8), ONE_HOT.astype(np.int64)),
    ):
        model = pair(dense)[0]
        model.compile(**CATEGORICAL)
        history.append(model.fit(x, y, shuffle=False, verbose=0).history)
    assert all(entry == history[0] for entry in history)


def test_an_unbuilt_model_takes_its_shape_from_the_data():
    model = kcompile.Sequential([layers.Dense(4, activation="relu"), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(ROWS, ROWS.sum(axis=1), epochs=2, verbose=0)
    assert model.weights[0].shape == (6, 4)
    assert len(history.history["loss"]) == 2


def test_a_batch_larger_than_the_data_is_one_partial_batch():
    assert_same(*fit_both(dense, CATEGORICAL, ROWS[:5], ONE_HOT[:5], batch_size=32))


def test_weights_set_by_a_callback_are_trained_on():
    model = dense(Ours)
    model.compile("sgd", "categorical_crossentropy")
    zeros = [np.zeros_like(w) for w in model.get_weights()]
    seen = []

    class Reset(kcompile.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_weights())
            self.model.set_weights(zeros)

    model.fit(ROWS, ONE_HOT, epochs=2, verbose=0, callbacks=[Reset()], batch_size=50)
    assert any(w.any() for w in seen[0])
    assert not seen[1][0].any()  # from zero weights nothing reaches the first kernel
    assert seen[1][3].any()
    assert not any(w.any() for w in model.get_weights())
