"""What cannot be trained on is refused with its place, and leaves the model as it was."""

import numpy as np
import pytest

import kcompile
from kcompile import callbacks, layers, losses
from kcompile.ir.errors import (
    DataError,
    NonFiniteLossError,
    ShapeError,
    SpecError,
    TrainingError,
)
from kcompile.training.given import Given

X = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
Y = np.arange(10) % 3


def model(loss="sparse_categorical_crossentropy", units=3, **options):
    made = kcompile.Sequential(
        [layers.Input((4,), name="x"), layers.Dense(units, name="out", activation="softmax")]
    )
    made.compile(optimizer=options.pop("optimizer", "sgd"), loss=loss, **options)
    return made


def two_inputs():
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    made = kcompile.Model([a, b], layers.Dense(1, name="out")(layers.Add()([a, b])))
    made.compile("sgd", "mse")
    return made


def with_value(array, row, value):
    changed = np.array(array, np.float32)
    changed[row] = value
    return changed


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_a_model_that_is_not_compiled(method):
    made = kcompile.Sequential([layers.Input((4,)), layers.Dense(3)])
    with pytest.raises(TrainingError, match=f"{method}: .*not been compiled"):
        getattr(made, method)(X, Y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_nan_in_the_data(method, value):
    with pytest.raises(DataError, match=rf"{method}: x 'x' has NaN or infinity in row 7 \(1 of 10"):
        getattr(model(), method)(with_value(X, 7, value), Y)


def test_nan_in_targets_and_weights():
    made = model("mse")
    targets = with_value(np.ones((10, 3)), 2, np.nan)
    with pytest.raises(DataError, match="y 'out' has NaN or infinity in row 2"):
        made.fit(X, targets)
    with pytest.raises(DataError, match="sample_weight 'out' has NaN or infinity in row 3"):
        made.fit(X, np.ones((10, 3)), sample_weight=with_value(np.ones(10), 3, np.nan))


def test_large_numbers_are_no_nan():
    huge = np.full((10, 4), 3e38, np.float32)
    made = model("mse")
    assert np.shape(made.predict(huge, verbose=0)) == (10, 3)
    made.trainer.prepare(Given("fit", huge, np.ones((10, 3))))


def test_a_loss_that_becomes_infinite_is_reported_and_not_trained_on():
    made, expected = model("mse"), model("mse")
    expected.set_weights(made.get_weights())
    targets = np.ones((10, 3))
    targets[6:8] = 3e38  # its square is beyond float32
    with pytest.raises(
        NonFiniteLossError, match="epoch 1, step 4: the loss, or a weight"
    ) as caught:
        made.fit(X, targets, batch_size=2, epochs=3, shuffle=False, verbose=0)
    assert (caught.value.epoch, caught.value.step) == (0, 3)
    expected.fit(X[:6], targets[:6], batch_size=2, shuffle=False, verbose=0)
    for ours, theirs in zip(made.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_terminate_on_nan_ends_quietly(capsys):
    made = model("mse")
    history = made.fit(
        X, np.full((10, 3), 3e38), epochs=5, verbose=0, callbacks=[callbacks.TerminateOnNaN()]
    )
    assert history.epoch == [0]
    assert made.stop_training
    assert "Training ends: epoch 1, step 1: the loss, or a weight" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dtype", "value"), [("int32", 2**40), ("uint8", 300), ("uint8", -3), ("bool", 2)]
)
@pytest.mark.parametrize("method", ["fit", "predict"])
def test_integers_that_the_input_does_not_have(method, dtype, value):
    x = layers.Input((4,), dtype=dtype, name="ids")
    made = kcompile.Model(x, layers.Dense(1)(kcompile.ops.cast(x, "float32")))
    made.compile("sgd", "mse")
    ids = np.zeros((10, 4), np.int64)
    ids[3, 1] = value
    with pytest.raises(DataError, match=rf"input 'ids': needs {dtype}, got {value} in row 3"):
        made.fit(ids, Y) if method == "fit" else made.predict(ids)


class SquareRootError(losses.Loss):
    """Of a root of 0 whose gradient is NaN, though its value is finite."""

    def call(self, y_true, y_pred):
        wrong = kcompile.ops.sqrt(kcompile.ops.sum(y_pred - y_pred, -1))
        return kcompile.ops.mean(kcompile.ops.square(y_true - y_pred), -1) + wrong


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_gradient_of_nan_under_a_finite_loss_is_not_trained_on(optimizer):
    made = model(SquareRootError(), optimizer=optimizer)
    targets = np.ones((10, 3))
    assert np.isfinite(made.evaluate(X, targets, verbose=0))
    before = made.get_weights()
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 1: the loss, or a weight"):
        made.fit(X, targets, epochs=2, verbose=0)
    for ours, expected in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def huge_in_row_7():
    targets = np.ones((10, 3))
    targets[7] = 3e38
    return targets


def test_evaluate_raises_for_a_loss_that_is_not_finite():
    made = model("mse")
    with pytest.raises(NonFiniteLossError, match="^step 4: the loss is NaN") as caught:
        made.evaluate(X, huge_in_row_7(), batch_size=2, verbose=0)
    assert (caught.value.epoch, caught.value.step) == (None, 3)
    assert np.isfinite(made.evaluate(X, np.ones((10, 3)), batch_size=2, verbose=0))


def test_validation_raises_for_a_loss_that_is_not_finite(capsys):
    made, quiet = model("mse"), model("mse")
    data = {"validation_data": (X, huge_in_row_7()), "batch_size": 2, "verbose": 0}
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 4: the validation loss") as caught:
        made.fit(X, np.ones((10, 3)), **data)
    assert (caught.value.epoch, caught.value.step) == (0, 3)
    assert np.isfinite(made.get_weights()[0]).all()
    end = callbacks.TerminateOnNaN()
    assert quiet.fit(X, np.ones((10, 3)), epochs=3, callbacks=[end], **data).epoch == [0]
    assert "Training ends: epoch 1, step 4: the validation loss" in capsys.readouterr().out


def test_fractional_labels_of_a_sparse_loss():
    with pytest.raises(DataError, match=r"label 1\.5 in row 2 is not a class in \[0, 3\)"):
        model().fit(X, with_value(Y, 2, 1.5))
    model().fit(X, Y.astype(np.float32), verbose=0)


@pytest.mark.parametrize("label", [-1.0, 2.0])
@pytest.mark.parametrize("loss", ["binary_crossentropy", "binary_focal_crossentropy"])
def test_binary_labels_out_of_range(loss, label):
    with pytest.raises(DataError, match=rf"label {label} in row 2 is not in \[0, 1\]"):
        model(loss, units=1).fit(X, with_value(np.ones(10), 2, label))


@pytest.mark.parametrize("key", ["1", 1.5, -1, 3])
@pytest.mark.parametrize("labels", [Y, np.eye(3)[Y]])
def test_class_weights_of_what_is_no_class(key, labels):
    loss = "sparse_categorical_crossentropy" if labels.ndim == 1 else "categorical_crossentropy"
    with pytest.raises(DataError, match=r"class_weight is for the class .* in \[0, (3|inf)\)"):
        model(loss).fit(X, labels, class_weight={0: 1.0, key: 2.0})


def test_class_weights_need_integer_labels():
    with pytest.raises(DataError, match="class_weight needs labels that are integers, got 0.5"):
        model("mse", units=1).fit(X, np.full(10, 0.5), class_weight={0: 1.0})


@pytest.mark.parametrize(
    ("method", "argument", "values"),
    [
        ("fit", "batch_size", [0, -1, 2.5, "4", True]),
        ("fit", "epochs", [-1, 1.5, None]),
        ("fit", "initial_epoch", [-1, "0"]),
        ("fit", "shuffle", [None, 1, "epoch"]),
        ("fit", "steps_per_epoch", [0, 1.5]),
        ("fit", "validation_steps", [0]),
        ("fit", "validation_batch_size", [0]),
        ("fit", "validation_freq", [0, 1.5, None, [0], "1"]),
        ("evaluate", "batch_size", [0, 2.5]),
        ("evaluate", "steps", [0, -3]),
        ("predict", "batch_size", [0, 2.5]),
        ("predict", "steps", [0, "2"]),
    ],
)
def test_arguments_out_of_range(method, argument, values):
    made = model()
    data = (X,) if method == "predict" else (X, Y)
    for value in values:
        with pytest.raises(SpecError, match=f"{method}: {argument} must be"):
            getattr(made, method)(*data, **{argument: value})


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "foo"},
        {"loss": ["foo"]},
        {"loss": {"out": "foo"}},
        {"metrics": ["foo"]},
        {"weighted_metrics": {"out": ["foo"]}},
        {"steps_per_execution": 0},
    ],
)
def test_what_compile_refuses_at_once(options):
    made = kcompile.Sequential([layers.Input((4,)), layers.Dense(3, name="out")])
    with pytest.raises(SpecError, match="foo|steps_per_execution"):
        made.compile("sgd", **{"loss": "mse", **options})


def test_no_epochs_train_nothing():
    made = model()
    before = made.get_weights()
    assert made.fit(X, Y, epochs=0, verbose=0).history == {}
    np.testing.assert_array_equal(made.get_weights()[0], before[0])


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range(label):
    labels = Y.copy()
    labels[4] = label
    with pytest.raises(DataError, match=rf"label {label} in row 4 is not a class in \[0, 3\)"):
        model().fit(X, labels)


def test_no_rows():
    with pytest.raises(DataError, match="fit: there are no rows"):
        model().fit(X[:0], Y[:0])


@pytest.mark.parametrize("fraction", [0.99, 1.5, -0.2])
def test_a_split_without_rows(fraction):
    with pytest.raises(DataError, match="validation_split"):
        model().fit(X[:3], Y[:3], validation_split=fraction)


def test_different_numbers_of_rows():
    with pytest.raises(DataError, match="x 'x' has 10, y 'out' has 9"):
        model().fit(X, Y[:9])
    with pytest.raises(DataError, match="sample_weight 'out' has 4"):
        model().fit(X, Y, sample_weight=np.ones(4))


@pytest.mark.parametrize("shape", [(10, 5), (10, 2, 4), (10,)])
def test_a_wrong_shape(shape):
    with pytest.raises(ShapeError, match=r"fit: input 'x': needs f32\[batch,4\], got shape \[10"):
        model().fit(np.zeros(shape), Y)


def test_a_target_of_the_wrong_shape():
    with pytest.raises(ShapeError, match="target of output 'out'"):
        model("mse").fit(X, np.ones((10, 7)))


@pytest.mark.parametrize(
    "wrong", [np.array([["a"] * 4] * 10), np.array([[None] * 4] * 10), [[1, 2], [3]]]
)
def test_a_wrong_dtype(wrong):
    with pytest.raises(DataError, match="fit: input 'x'"):
        model().fit(wrong, Y)


def test_fractions_for_an_integer_input():
    x = layers.Input((4,), dtype="int32", name="ids")
    made = kcompile.Model(x, layers.Dense(1)(kcompile.ops.cast(x, "float32")))
    made.compile("sgd", "mse")
    made.fit(X.round(), Y, verbose=0)
    with pytest.raises(DataError, match=r"input 'ids': needs int32, got 0\.\d+ in row 0"):
        made.fit(X, Y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": X}, "x: input 'b' is missing"),
        ({"a": X, "b": X, "c": X}, "x: there is no input 'c'"),
        ([X], "x: needs 2 arrays, got 1"),
        (X, "x: needs 2 arrays, got one ndarray"),
    ],
)
def test_missing_and_unknown_inputs(given, message):
    with pytest.raises(DataError, match=message):
        two_inputs().fit(given, Y)


def test_missing_and_unknown_targets():
    with pytest.raises(DataError, match="y: there is no output 'other'"):
        two_inputs().fit([X, X], {"other": Y})
    with pytest.raises(DataError, match="y: output 'out' has a loss and no target"):
        two_inputs().fit([X, X])


def test_nothing_to_minimize():
    made = model(loss=None)
    with pytest.raises(SpecError, match="no loss to minimize"):
        made.fit(X, Y)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("loss", {"no": "mse"}), ("metrics", {"no": ["mae"]}), ("loss_weights", [1.0, 2.0])],
)
def test_settings_for_outputs_that_are_not_there(argument, value):
    made = kcompile.Sequential([layers.Input((4,)), layers.Dense(1, name="out")])
    made.compile("sgd", **{"loss": "mse", argument: value})
    with pytest.raises(SpecError, match=argument):
        made.fit(X, Y)


def test_class_and_sample_weights_together():
    with pytest.raises(DataError, match="not both"):
        model().fit(X, Y, class_weight={0: 2.0}, sample_weight=np.ones(10))


@pytest.mark.parametrize("option", [{"run_eagerly": True}, {"jit_compile": False}])
def test_options_that_are_not_there(option):
    with pytest.raises(NotImplementedError, match=next(iter(option))):
        model(**option)


def test_weights_are_whole_after_an_error_in_a_callback():
    made = model()

    class Fails(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("no")

    before = made.get_weights()
    with pytest.raises(RuntimeError, match="no"):
        made.fit(X, Y, epochs=5, verbose=0, callbacks=[Fails()])
    assert not np.array_equal(before[0], made.get_weights()[0])
    made.fit(X, Y, verbose=0)
