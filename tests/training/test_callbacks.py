"""Callbacks: which hooks are called when, what they see, and what they can do."""

import os
import re
import signal

import keras
import numpy as np
import pytest

import kcompile
from kcompile import callbacks, layers

X = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def model(metrics=("mae",), rate=0.01):
    made = kcompile.Sequential([layers.Input((4,)), layers.Dense(1)])
    made.compile(kcompile.optimizers.SGD(rate), "mse", metrics=list(metrics))
    return made


def recorder(base, log):
    """A callback class over `base` that notes every call of every hook."""

    def hook(name):
        def note(self, *args, **kwargs):
            values = [*args, *kwargs.values()]
            logs = values[-1] if values and not isinstance(values[-1], int) else None
            number = values[0] if values and isinstance(values[0], int) else None
            log.append((name, number, sorted(logs or {})))

        return note

    names = [n for n in dir(base) if n.startswith("on_") and n not in UNUSED]
    return type("Recorder", (base,), {name: hook(name) for name in names})


UNUSED = ("on_batch_begin", "on_batch_end")


def test_hooks_are_called_as_keras_calls_them():
    ours, theirs = [], []
    options = {"batch_size": 16, "epochs": 2, "validation_split": 0.4, "verbose": 0}
    model().fit(X, Y, callbacks=[recorder(callbacks.Callback, ours)()], **options)
    reference = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    reference.compile("sgd", "mse", metrics=["mae"])
    reference.fit(X, Y, callbacks=[recorder(keras.callbacks.Callback, theirs)()], **options)
    assert ours == theirs


def test_a_callback_for_batches_sees_running_means():
    seen = []

    class PerBatch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, logs["loss"], self.model.get_weights()[0].copy()))

    made = model(rate=0.0)
    made.fit(X, Y, batch_size=20, shuffle=False, verbose=0, callbacks=[PerBatch()])
    kernel, bias = made.get_weights()
    errors = (X @ kernel + bias - Y)[:, 0] ** 2
    expected = [errors[:20].mean(), errors[:40].mean(), errors.mean()]
    assert [batch for batch, _, _ in seen] == [0, 1, 2]
    np.testing.assert_allclose([loss for _, loss, _ in seen], expected, rtol=1e-5)


def test_weights_are_up_to_date_in_every_batch():
    seen = []
    made = model()
    made.fit(
        X,
        Y,
        batch_size=10,
        verbose=0,
        callbacks=[
            callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(made.get_weights()[0])
            )
        ],
    )
    assert len(seen) == 5
    assert len({w.tobytes() for w in seen}) == 5
    np.testing.assert_array_equal(seen[-1], made.get_weights()[0])


def test_the_learning_rate_can_be_set_between_epochs():
    made = model(rate=0.0)
    weights = []

    def change(epoch, logs):
        weights.append(made.get_weights()[0])
        made.optimizer.learning_rate = 0.1

    change_rate = callbacks.LambdaCallback(on_epoch_end=change)
    before = made.get_weights()[0]
    made.fit(X, Y, epochs=2, verbose=0, callbacks=change_rate)
    np.testing.assert_array_equal(weights[0], before)
    assert not np.array_equal(weights[1], before)


def test_history():
    made = model(metrics=["acc"])
    history = made.fit(X, Y, epochs=3, validation_split=0.2, verbose=0, initial_epoch=1)
    assert history is made.history
    assert history.epoch == [1, 2]
    assert history.params == {"verbose": 0, "epochs": 3, "steps": 2}
    assert list(history.history) == ["acc", "loss", "val_acc", "val_loss"]
    assert history.history["accuracy"] == history.history["acc"]
    assert history.history["val_accuracy"] == history.history["val_acc"]
    assert "accuracy" in history.history
    assert "mae" not in history.history
    assert history.history.get("mae") is None
    with pytest.raises(KeyError):
        history.history["mae"]


def test_history_finds_new_names_by_old_ones():
    history = model(metrics=["accuracy"]).fit(X, Y, verbose=0).history
    assert list(history) == ["accuracy", "loss"]
    assert history["acc"] == history["accuracy"]


def test_early_stopping_restores_the_best_weights(capsys):
    losses = [3.0, 1.0, 2.0, 2.5, 0.5]
    weights = []

    class Fake(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["loss"] = losses[epoch]
            weights.append(self.model.get_weights())

    stop = callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True, verbose=1)
    made = model()
    history = made.fit(X, Y, epochs=5, verbose=0, callbacks=[Fake(), stop])
    assert history.epoch == [0, 1, 2, 3]
    assert (stop.stopped_epoch, stop.best_epoch, stop.best) == (3, 1, 1.0)
    for kept, now in zip(weights[1], made.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)
    assert "Epoch 4: early stopping" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "values", "stopped"),
    [
        ({"monitor": "val_accuracy"}, [0.1, 0.2, 0.2], 2),
        ({"monitor": "acc", "mode": "max"}, [0.3, 0.2], 1),
        ({"monitor": "x", "mode": "min", "min_delta": 0.2}, [1.0, 0.9], 1),
        ({"monitor": "x", "baseline": 0.5, "patience": 1, "mode": "min"}, [0.9, 0.95], 1),
        ({"monitor": "x", "mode": "min", "start_from_epoch": 2}, [1.0, 2.0, 3.0, 4.0], 3),
    ],
)
def test_when_early_stopping_stops(options, values, stopped):
    name = {"acc": "accuracy"}.get(options["monitor"], options["monitor"])
    results = []
    for stop, model_like in (
        (callbacks.EarlyStopping(**{"mode": "max", **options}), model()),
        (
            keras.callbacks.EarlyStopping(**{"mode": "max", **options, "monitor": name}),
            keras.Sequential(),
        ),
    ):
        model_like.stop_training = False
        stop.set_model(model_like)
        stop.on_train_begin()
        for epoch, value in enumerate(values):
            stop.on_epoch_end(epoch, {name: value})
        results.append(stop.stopped_epoch)
    assert results == [stopped, stopped]


def test_early_stopping_warns_of_an_unknown_name():
    stop = callbacks.EarlyStopping("val_loss")
    with pytest.warns(UserWarning, match="'val_loss', which is not among the logs: loss, mae"):
        model().fit(X, Y, verbose=0, callbacks=[stop])


def test_progress_where_there_is_no_terminal(capsys):
    model().fit(X, Y, epochs=2, batch_size=16, validation_split=0.2, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert lines[2] == "Epoch 2/2"
    assert len(lines) == 4
    start, *logs = lines[3].split(" - ")
    assert start.startswith("3/3 ━━━━━━━━━━━━━━━━━━━━ 0s ")
    assert start.endswith("/step")
    assert [entry.split(":")[0] for entry in logs] == ["loss", "mae", "val_loss", "val_mae"]


def test_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("kcompile.training.callbacks.progress._INTERVAL", 0.0)
    model().fit(X, Y, batch_size=10, verbose=1)
    out = capsys.readouterr().out
    assert out.count("\r") > 1
    assert "5/5" in out
    assert out.endswith("\n")


def test_a_line_for_each_epoch(capsys):
    model().fit(X, Y, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.match(r"2/2 - \d+s - \d+\w+/step - loss: ", lines[1])
    assert "━" not in lines[1]


def test_silence(capsys):
    made = model()
    made.fit(X, Y, epochs=2, validation_split=0.2, verbose=0)
    made.evaluate(X, Y, verbose=0)
    made.predict(X, verbose=0)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_usable_model():
    made = model()
    handler = signal.getsignal(signal.SIGINT)

    class Press(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, epochs=10, verbose=0, callbacks=[Press()])
    assert signal.getsignal(signal.SIGINT) is handler
    assert made.history.epoch == [0, 1]
    assert len(made.history.history["loss"]) == 2
    assert all(np.isfinite(w).all() for w in made.get_weights())
    made.fit(X, Y, verbose=0)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_between_batches_stops_there():
    made = model()
    seen = []

    class Press(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)
            if batch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, batch_size=10, epochs=10, verbose=0, callbacks=[Press()])
    assert seen == [0, 1]
    assert made.history.epoch == []
    assert made.trainer.progress.num_updates == 2
