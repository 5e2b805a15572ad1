"""Callbacks that save, log, and change the learning rate, against Keras's."""

import csv
import functools
import http.server
import json
import threading
import urllib.parse

import h5py
import keras
import keras.src.callbacks.remote_monitor as keras_remote_monitor
import numpy as np
import pytest

import kcompile
from kcompile import callbacks
from kcompile.ir.errors import SpecError

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((50, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
KERNEL = RANDOM.standard_normal((4, 1)).astype(np.float32)
OPTIONS = {"batch_size": 16, "epochs": 4, "validation_split": 0.2, "verbose": 0, "shuffle": False}


@functools.cache
def compiled(metrics):
    """The same model, ours and Keras's; compiling the steps is what takes the time here."""
    models = []
    for library in (kcompile, keras):
        model = library.Sequential(
            [library.layers.Input((4,)), library.layers.Dense(1, name="dense")]
        )
        model.compile(library.optimizers.SGD(), "mse", metrics=list(metrics))
        models.append(model)
    return models


def pair(rate=0.05, metrics=("mae",), is_new=False):
    """The models as they are before training; new ones where a test compiles them again."""
    models = compiled.__wrapped__(metrics) if is_new else compiled(metrics)
    for model in models:
        model.set_weights([KERNEL, np.zeros(1, np.float32)])
        model.optimizer.learning_rate = rate
    return models


def both(name, rate=0.05, metrics=("mae",), fit=None, **arguments):
    """Callbacks and histories of the same training, ours and Keras's."""
    results = []
    for library, model in zip((callbacks, keras.callbacks), pair(rate, metrics), strict=True):
        callback = getattr(library, name)(**arguments)
        history = model.fit(X, Y, callbacks=[callback], **{**OPTIONS, **(fit or {})})
        results.append((callback, history.history))
    return results


def assert_same_logs(ours, theirs):
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=2e-5, atol=1e-7, err_msg=name)


def saved(folder):
    """Weights by file and place, without what Keras saves of the optimizer."""
    arrays = {}
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            for place in ("layers/dense/vars/0", "layers/dense/vars/1"):
                arrays[str(path.relative_to(folder)), place] = file[place][()]
    return arrays


# Learning rates


def halve(epoch, rate):
    return rate * 0.5 if epoch else rate


def by_epoch(epoch):
    return 0.1 / (epoch + 1)


@pytest.mark.parametrize("schedule", [halve, by_epoch])
def test_learning_rate_scheduler(schedule):
    (_, ours), (_, theirs) = both("LearningRateScheduler", schedule=schedule)
    assert_same_logs(ours, theirs)
    assert ours["learning_rate"] == theirs["learning_rate"]


def test_learning_rate_scheduler_tells(capsys):
    made, _ = pair()
    made.fit(X, Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(by_epoch, verbose=1)])
    assert "Epoch 1: LearningRateScheduler sets the learning rate to 0.1" in capsys.readouterr().out


def test_learning_rate_scheduler_refuses_what_is_no_float():
    made, _ = pair()
    with pytest.raises(SpecError, match="must return a float, got '0.1'"):
        made.fit(X, Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch: "0.1")])


def test_learning_rate_scheduler_needs_an_optimizer_that_tells_its_rate():
    import optax

    made, _ = pair(is_new=True)
    made.compile(optax.sgd(0.1), "mse")
    with pytest.raises(SpecError, match="does not tell its learning rate"):
        made.fit(X, Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(halve)])


def test_a_rate_set_between_batches_reaches_the_next_batch():
    """As in a loop of one's own; Keras on JAX forgets what is set during an epoch."""
    made, reference = pair(rate=0.2)

    def change(batch, logs):
        made.optimizer.learning_rate = 0.1 / (batch + 1)

    callback = callbacks.LambdaCallback(on_train_batch_end=change)
    made.fit(X, Y, 20, shuffle=False, verbose=0, callbacks=[callback])
    for rate, rows in ((0.2, slice(20)), (0.1, slice(20, 40)), (0.05, slice(40, 50))):
        reference.optimizer.learning_rate = rate
        reference.train_on_batch(X[rows], Y[rows])
    np.testing.assert_allclose(made.get_weights()[0], reference.get_weights()[0], rtol=1e-5)


PLATEAUS = [
    {"monitor": "loss", "patience": 1, "min_delta": 10.0},
    {"monitor": "val_loss", "patience": 2, "min_delta": 10.0, "factor": 0.5},
    {"monitor": "val_mae", "patience": 0, "min_delta": 10.0, "factor": 0.3, "min_lr": 0.01},
    {"monitor": "mae", "mode": "max", "patience": 1, "cooldown": 2},
    {"monitor": "loss", "patience": 1},
]


@pytest.mark.parametrize("arguments", PLATEAUS)
def test_reduce_lr_on_plateau(arguments):
    (_, ours), (_, theirs) = both("ReduceLROnPlateau", fit={"epochs": 7}, **arguments)
    assert_same_logs(ours, theirs)
    assert ours["learning_rate"] == theirs["learning_rate"]


def test_reduce_lr_on_plateau_logs_the_rate_of_a_schedule():
    histories = []
    for library, model in zip((kcompile, keras), pair(is_new=True), strict=True):
        schedule = library.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)
        model.compile(library.optimizers.SGD(schedule), "mse", metrics=["mae"])
        callback = library.callbacks.ReduceLROnPlateau("loss", patience=9)
        for _ in range(2):  # the updates of the first run count in the second
            history = model.fit(X, Y, callbacks=[callback], **OPTIONS).history
        histories.append(history)
    assert_same_logs(*histories)


def test_reduce_lr_on_plateau_refuses():
    for library in (callbacks, keras.callbacks):
        with pytest.raises(ValueError, match="factor"):
            library.ReduceLROnPlateau(factor=1.0)
    with pytest.warns(UserWarning, match="'val_loss', which is not among the logs: loss, mae"):
        pair()[0].fit(X, Y, verbose=0, callbacks=[callbacks.ReduceLROnPlateau()])


# What 'auto' means

METRICS = [
    "accuracy",
    "binary_accuracy",
    "cosine_similarity",
    "hinge",
    "kl_divergence",
    "log_cosh_error",
    "mape",
    "poisson",
    "r2_score",
    "root_mean_squared_error",
]


def test_auto_goes_by_the_metric():
    models = pair(metrics=tuple(METRICS))
    for model in models:
        model.evaluate(X, Y, verbose=0)
    for name in METRICS:
        results = []
        for library, model in zip((callbacks, keras.callbacks), models, strict=True):
            better = []
            for value in (0.4, 0.6):
                stop = library.EarlyStopping(f"val_{name}")
                stop.set_model(model)
                stop.on_train_begin()
                model.stop_training = False
                stop.on_epoch_end(0, {f"val_{name}": 0.5})
                stop.on_epoch_end(1, {f"val_{name}": value})
                better.append(not model.stop_training)
            results.append(better)
        assert results[0] == results[1], name
        assert sorted(results[0]) == [False, True]


def mine(y_true, y_pred):
    return (y_true - y_pred)[:, 0]


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
def test_auto_refuses_what_it_does_not_know(name):
    for library, model in zip((callbacks, keras.callbacks), pair(metrics=(mine,)), strict=True):
        with pytest.raises(ValueError, match=r"mode='max'"):
            model.fit(X, Y, callbacks=[getattr(library, name)("val_mine")], **OPTIONS)


def test_auto_knows_a_loss_function_as_a_metric():
    results = []
    for library, model in zip((kcompile, keras), pair(is_new=True), strict=True):
        model.compile("sgd", "mse", metrics=[library.losses.mean_absolute_error])
        callback = library.callbacks.EarlyStopping("mean_absolute_error", min_delta=10)
        results.append(model.fit(X, Y, callbacks=[callback], **OPTIONS).epoch)
    assert results == [[0, 1], [0, 1]]


def test_unknown_mode():
    with pytest.raises(SpecError, match="EarlyStopping: mode must be 'auto', 'min' or 'max'"):
        callbacks.EarlyStopping(mode="up")


# ModelCheckpoint

CHECKPOINTS = [
    {"filepath": "{epoch:02d}-{val_loss:.3f}.weights.h5"},
    {"filepath": "new/folder/last.weights.h5"},
    {"filepath": "{epoch}.weights.h5", "save_best_only": True},
    {"filepath": "{epoch}.weights.h5", "save_best_only": True, "monitor": "mae", "mode": "max"},
    {"filepath": "{epoch}.weights.h5", "save_best_only": True, "initial_value_threshold": 0.01},
    {"filepath": "{epoch}-{batch:03d}.weights.h5", "save_freq": 2},
    {"filepath": "{epoch}-{batch}-{loss:.3f}.weights.h5", "save_freq": 5},
]


@pytest.mark.parametrize("arguments", CHECKPOINTS)
def test_model_checkpoint(arguments, tmp_path):
    folders = (tmp_path / "ours", tmp_path / "theirs")
    for library, model, folder in zip((callbacks, keras.callbacks), pair(), folders, strict=True):
        folder.mkdir()
        given = {**arguments, "filepath": folder / arguments["filepath"]}
        callback = library.ModelCheckpoint(**given, save_weights_only=True)
        model.fit(X, Y, callbacks=[callback], **OPTIONS)
    ours, theirs = map(saved, folders)
    assert list(ours) == list(theirs)
    for key, array in theirs.items():
        np.testing.assert_allclose(ours[key], array, rtol=1e-5, atol=1e-6, err_msg=str(key))


def test_model_checkpoint_keeps_its_best_for_the_next_fit(tmp_path):
    made, _ = pair()
    path = tmp_path / "{epoch}.weights.h5"
    save = callbacks.ModelCheckpoint(path, save_weights_only=True, save_best_only=True)
    made.fit(X, Y, callbacks=[save], **OPTIONS)
    best = save.best
    made.set_weights([KERNEL, np.zeros(1, np.float32)])
    made.fit(X, Y, callbacks=[save], **{**OPTIONS, "epochs": 2})
    assert save.best == best


def test_a_checkpoint_loads(tmp_path):
    made, other = pair()
    path = tmp_path / "last.weights.h5"
    save = callbacks.ModelCheckpoint(path, save_weights_only=True, verbose=0)
    made.fit(X, Y, callbacks=[save], **OPTIONS)
    again, _ = pair()
    again.load_weights(path)
    other = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="dense")])
    other.load_weights(path)
    for model in (again, other):
        for ours, read in zip(made.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, read)


def test_model_checkpoint_looks_at_batches_only_where_it_has_to(tmp_path):
    class Own(callbacks.ModelCheckpoint):
        def on_train_batch_begin(self, batch, logs=None):
            pass

    path = tmp_path / "x.weights.h5"
    make = callbacks.ModelCheckpoint
    assert not make(path, save_weights_only=True).looks_at_batches("train")
    assert not make(path, save_weights_only=True, save_freq=3).looks_at_batches("test")
    assert make(path, save_weights_only=True, save_freq=3).looks_at_batches("train")
    assert Own(path, save_weights_only=True).looks_at_batches("train")


def test_model_checkpoint_tells(tmp_path, capsys):
    made, _ = pair(rate=0.0)
    path = tmp_path / "x.weights.h5"
    save = callbacks.ModelCheckpoint(
        path, "loss", save_weights_only=True, save_best_only=True, verbose=1
    )
    made.fit(X, Y, epochs=2, verbose=0, shuffle=False, callbacks=[save])
    out = capsys.readouterr().out
    assert f"Epoch 1: saved weights to {path}" in out
    assert f"Epoch 2: loss has not improved from {save.best:.5f}" in out


def test_model_checkpoint_warns_of_an_unknown_name(tmp_path):
    path = tmp_path / "x.weights.h5"
    save = callbacks.ModelCheckpoint(path, save_weights_only=True, save_best_only=True)
    with pytest.warns(UserWarning, match="'val_loss', which is not among the logs: loss, mae"):
        pair()[0].fit(X, Y, verbose=0, callbacks=[save])
    assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"filepath": "x.keras"}, NotImplementedError, "saves weights only"),
        ({"filepath": "x.h5", "save_weights_only": True}, SpecError, "ends with .weights.h5"),
        (
            {"filepath": "x.weights.h5", "save_weights_only": True, "save_freq": "batch"},
            SpecError,
            "save_freq must be 'epoch' or a number",
        ),
    ],
)
def test_model_checkpoint_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        callbacks.ModelCheckpoint(**arguments)


def test_a_name_in_the_path_that_is_not_in_the_logs(tmp_path):
    save = callbacks.ModelCheckpoint(tmp_path / "{auc}.weights.h5", save_weights_only=True)
    with pytest.raises(SpecError, match="has 'auc', and there is only epoch, loss, mae"):
        pair()[0].fit(X, Y, verbose=0, callbacks=[save])


# CSVLogger and RemoteMonitor


def rows(path, separator=","):
    with open(path, newline="") as file:
        header, *lines = csv.reader(file, delimiter=separator)
    return header, [[np.nan if cell == "NA" else float(cell) for cell in line] for line in lines]


@pytest.mark.parametrize(
    ("separator", "append", "fit"),
    [
        (",", False, {}),
        (";", True, {"validation_split": 0.0}),
        (",", True, {"validation_freq": 2}),
    ],
)
def test_csv_logger(separator, append, fit, tmp_path):
    files = (tmp_path / "ours.csv", tmp_path / "theirs.csv")
    for library, model, path in zip((callbacks, keras.callbacks), pair(), files, strict=True):
        for epochs in (2, 3):
            callback = library.CSVLogger(path, separator=separator, append=append)
            model.fit(X, Y, callbacks=[callback], **{**OPTIONS, **fit, "epochs": epochs})
    (header, ours), (expected_header, theirs) = (rows(path, separator) for path in files)
    assert header == expected_header
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)
    assert len(ours) == (5 if append else 3)
    endings = [path.read_bytes().count(b"\r\n") for path in files]
    assert endings[0] == endings[1] == len(ours) + 1


def test_csv_logger_has_a_whole_row_after_each_epoch(tmp_path):
    path = tmp_path / "log.csv"
    seen = []
    look = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(rows(path)[1]))
    pair()[0].fit(X, Y, callbacks=[callbacks.CSVLogger(path), look], **OPTIONS)
    assert [len(lines) for lines in seen] == [1, 2, 3, 4]


def test_csv_logger_logs_the_learning_rate_of_a_callback_before_it(tmp_path):
    files = (tmp_path / "ours.csv", tmp_path / "theirs.csv")
    for library, model, path in zip((callbacks, keras.callbacks), pair(), files, strict=True):
        listed = [library.LearningRateScheduler(halve), library.CSVLogger(path)]
        model.fit(X, Y, callbacks=listed, **OPTIONS)
    (header, ours), (expected_header, theirs) = map(rows, files)
    assert header == expected_header == ["epoch", *sorted(header[1:])]
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("value", [np.float32(2), np.array(2.0), [1, 2], np.arange(3), "text"])
def test_csv_logger_writes_values_as_keras_does(value, tmp_path):
    texts = []
    for library in (callbacks, keras.callbacks):
        path = tmp_path / "log.csv"
        logger = library.CSVLogger(path)
        logger.on_train_begin()
        logger.on_epoch_end(0, {"value": value})
        logger.on_train_end()
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.received.append((self.path, dict(self.headers), body))
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = http.server.HTTPServer(("127.0.0.1", 0), Server)
    made.received = []
    made.root = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


class FakeRequests:
    """Stands for the library with which Keras sends."""

    class exceptions:
        RequestException = OSError

    def __init__(self):
        self.calls = []

    def post(self, url, data=None, json=None, headers=None):
        self.calls.append((url, data, json, headers))


@pytest.mark.parametrize("send_as_json", [False, True])
def test_remote_monitor(send_as_json, server, monkeypatch):
    fake = FakeRequests()
    monkeypatch.setattr(keras_remote_monitor, "requests", fake)
    arguments = {"path": "/a", "field": "f", "headers": {"X-Key": "1"}}
    both("RemoteMonitor", root=server.root, send_as_json=send_as_json, **arguments)
    assert len(server.received) == len(fake.calls) == 4
    for (path, headers, body), (url, data, sent, expected) in zip(
        server.received, fake.calls, strict=True
    ):
        assert server.root + path == url
        assert headers["X-Key"] == expected["X-Key"]
        if send_as_json:
            assert headers["Content-Type"] == "application/json"
            ours, theirs = json.loads(body), sent
        else:
            (text,) = urllib.parse.parse_qs(body)["f"]
            ours, theirs = json.loads(text), json.loads(data["f"])
        assert_same_logs(ours, theirs)


def test_remote_monitor_warns(server):
    with pytest.warns(UserWarning, match="could not send to .*500"):
        callbacks.RemoteMonitor(server.root, "/broken").on_epoch_end(0, {"loss": 1.0})
    with pytest.warns(UserWarning, match="could not send to http://127.0.0.1:1"):
        callbacks.RemoteMonitor("http://127.0.0.1:1").on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(SpecError, match="http:// or https://"):
        callbacks.RemoteMonitor("file:///etc")


# Training that ends


STOPS = [
    {"monitor": "loss", "min_delta": 10.0},
    {"monitor": "val_loss", "min_delta": 10.0, "patience": 2, "restore_best_weights": True},
    {"monitor": "val_mae", "mode": "max", "patience": 1, "restore_best_weights": True},
    {"monitor": "mae", "baseline": 0.001, "patience": 2},
    {"monitor": "loss", "mode": "max", "start_from_epoch": 3},
]


@pytest.mark.parametrize("arguments", STOPS)
def test_early_stopping_in_fit(arguments):
    results = []
    for library, model in zip((callbacks, keras.callbacks), pair(), strict=True):
        stop = library.EarlyStopping(**arguments)
        history = model.fit(X, Y, callbacks=[stop], **{**OPTIONS, "epochs": 7})
        results.append((stop, history, model.get_weights()))
    (ours, our_history, our_weights), (theirs, their_history, their_weights) = results
    assert our_history.epoch == their_history.epoch
    assert (ours.stopped_epoch, ours.best_epoch, ours.wait) == (
        theirs.stopped_epoch,
        theirs.best_epoch,
        theirs.wait,
    )
    for one, other in zip(our_weights, their_weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("raise_error", [False, True])
def test_terminate_on_nan_ends_where_keras_does(raise_error):
    targets = Y.copy()
    targets[20] = 3e38  # its square is beyond float32
    epochs = []
    for library, model in zip((callbacks, keras.callbacks), pair(), strict=True):
        end = library.TerminateOnNaN(raise_error=raise_error)
        if raise_error:
            with pytest.raises(RuntimeError):
                model.fit(X, targets, callbacks=[end], **OPTIONS)
            continue
        epochs.append(model.fit(X, targets, callbacks=[end], **OPTIONS).epoch)
        assert model.stop_training
    assert epochs == ([] if raise_error else [[0], [0]])


def test_a_loss_that_is_not_finite_is_logged_as_nan(tmp_path):
    made, _ = pair()
    targets = Y.copy()
    targets[20] = 3e38
    log = tmp_path / "log.csv"
    ends = []
    listed = [
        callbacks.TerminateOnNaN(),
        callbacks.EarlyStopping("loss"),
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.ModelCheckpoint(tmp_path / "{loss}.weights.h5", save_weights_only=True),
        callbacks.CSVLogger(log),
        callbacks.LambdaCallback(on_train_end=ends.append),
    ]
    history = made.fit(X, targets, callbacks=listed, **{**OPTIONS, "validation_split": 0.0})
    assert history.epoch == [0]
    assert np.isnan(history.history["loss"]).tolist() == [True]
    assert np.isnan(ends[0]["loss"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "nan.weights.h5"]
    assert "nan" in log.read_text()
    assert all(np.isfinite(weight).all() for weight in made.get_weights())


def test_lambda_callback_is_called_as_keras_calls_it():
    calls = []
    for library, model in zip((callbacks, keras.callbacks), pair(), strict=True):
        seen = []

        def note(*arguments, seen=seen, **named):
            *numbers, logs = [*arguments, *named.values()]
            seen.append((numbers, sorted(logs or {})))

        names = ("on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end")
        hooks = dict.fromkeys(names, note)
        callback = library.LambdaCallback(**hooks, on_test_end=note)
        model.fit(X, Y, callbacks=[callback], **OPTIONS)
        calls.append(seen)
    assert calls[0] == calls[1]
