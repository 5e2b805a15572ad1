"""Going on after training was cut off, and event files."""

import os
import signal
import sys

import numpy as np
import pytest

import kcompile
from kcompile import callbacks, layers, optimizers
from kcompile.ir.errors import FormatError, SpecError

RANDOM = np.random.default_rng(4)
X = RANDOM.standard_normal((30, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
OPTIONS = {"batch_size": 4, "epochs": 4, "verbose": 0}


class CutOff(RuntimeError):
    pass


class Stop(callbacks.Callback):
    """Cuts training off after so many batches, or in an epoch's end."""

    def __init__(self, batches=None, epochs=None):
        super().__init__()
        self.left = batches
        self.epochs = epochs

    def looks_at_batches(self, kind):
        return self.left is not None

    def on_train_batch_end(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if not self.left:
                raise CutOff

    def on_epoch_end(self, epoch, logs=None):
        if self.epochs == epoch + 1:
            raise CutOff


class Inherited(kcompile.Model):
    def __init__(self):
        super().__init__(name="own")
        self.drop, self.out = layers.Dropout(0.3, name="drop"), layers.Dense(1, name="dense")

    def call(self, x, training=False):
        return self.out(self.drop(x, training=training))

    def train_step(self, state, data):
        return super().train_step(state, data)


def model(seed, kind="built-in"):
    kcompile.utils.set_random_seed(seed)
    if kind == "own":
        made = Inherited()
        made.build((None, 3))
    else:
        made = kcompile.Sequential([kcompile.Input((3,))])
        made.add(layers.Dropout(0.3, name="drop"))
        made.add(layers.BatchNormalization(name="norm"))
        made.add(layers.Dense(1, name="dense"))
    rate = optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    made.compile(optimizers.Adam(rate), "mse")
    return made


def dataset():
    class Batches(kcompile.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]

    return Batches()


@pytest.mark.parametrize(
    ("stop", "save_freq", "options", "kind"),
    [
        ({"epochs": 2}, "epoch", {}, "built-in"),
        ({"batches": 11}, 3, {}, "built-in"),
        ({"batches": 13}, 1, {"steps_per_epoch": 4, "epochs": 6}, "built-in"),
        ({"batches": 11}, 2, {"x": "dataset"}, "built-in"),
        ({"batches": 11}, 3, {}, "own"),
    ],
)
def test_a_run_that_was_cut_off_goes_on_exactly(tmp_path, stop, save_freq, options, kind):
    folder = tmp_path / "backup"
    options = {**OPTIONS, **options}
    data = {"x": X, "y": Y}
    if options.pop("x", None):
        data = {"x": dataset()}
        del options["batch_size"]
    whole = model(1, kind)
    whole.fit(**data, **options)
    keep = callbacks.BackupAndRestore(folder, save_freq, double_checkpoint=True)
    with pytest.raises(CutOff):
        model(1, kind).fit(**data, **options, callbacks=[keep, Stop(**stop)])
    assert (folder / "latest.npz").exists()
    resumed = model(99, kind)  # another process has other seeds and weights
    keep = callbacks.BackupAndRestore(folder, save_freq)
    history = resumed.fit(**data, **options, callbacks=[keep])
    assert history.epoch[-1] == options["epochs"] - 1
    assert history.epoch[0] > 0
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, values in history.history.items():
        assert values == whole.history.history[name][-len(values) :]
    assert not folder.exists()


def test_a_backup_of_another_model_is_refused(tmp_path):
    keep = callbacks.BackupAndRestore(tmp_path / "kept", delete_checkpoint=False)
    model(1).fit(X, Y, **OPTIONS, callbacks=[keep])
    assert (tmp_path / "kept" / "latest.npz").exists()
    other = model(1, "own")
    with pytest.raises(FormatError, match="another model"):
        other.fit(X, Y, **OPTIONS, callbacks=[keep])


def small(dtype="float32", name=None, rate=0.1, kind="built-in"):
    kcompile.utils.set_random_seed(3)
    if kind == "own":
        made = Inherited()
        made.build((None, 3))
    else:
        made = kcompile.Sequential([kcompile.Input((3,))])
        made.add(layers.Dense(3, name=name and f"{name}_9", dtype=dtype))
        made.add(layers.Dense(3, name=name and f"{name}_10", dtype=dtype))
        made.add(layers.Dense(1, dtype=dtype))
    made.compile(optimizers.Adam(rate), "mse")
    return made


def cut_off_and_resumed(folder, first, second, stop):
    with pytest.raises(CutOff):
        first.fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(folder), *stop])
    second.fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(folder)])
    return second


@pytest.mark.parametrize(("dtype", "name"), [("bfloat16", None), ("float32", "a")])
def test_dtypes_and_names_of_layers_do_not_matter(tmp_path, dtype, name):
    whole = small(dtype, name)
    whole.fit(X, Y, **OPTIONS)
    # Names sort as a_10, a_9 in one model and as they come in the other.
    other = small(dtype, None)
    resumed = cut_off_and_resumed(tmp_path / "kept", small(dtype, name), other, [Stop(epochs=2)])
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a.astype("float32"), b.astype("float32"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "text"])
def test_a_damaged_backup_is_named(tmp_path, damage):
    keep = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False, double_checkpoint=True)
    model(1).fit(X, Y, **OPTIONS, callbacks=[keep])
    path = tmp_path / "latest.npz"
    whole = path.read_bytes()
    middle = len(whole) // 3
    flipped = whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 200])
    path.write_bytes(
        {
            "cut": whole[:middle],
            "empty": b"",
            "flipped": flipped + whole[middle + 200 :],
            "text": b"no backup at all",
        }[damage]
    )
    with pytest.raises(FormatError, match=r"latest.npz.*rename previous.npz"):
        model(1).fit(X, Y, **OPTIONS, callbacks=[keep])


def test_a_backup_of_another_dtype_is_refused(tmp_path):
    with pytest.raises(FormatError, match="another model"):
        cut_off_and_resumed(
            tmp_path / "kept", small("float16"), small("bfloat16"), [Stop(epochs=1)]
        )


@pytest.mark.parametrize("kind", ["built-in", "own"])
def test_a_learning_rate_that_was_set_is_kept(tmp_path, kind):
    class Halve(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.learning_rate = 0.05

    whole = small(kind=kind)
    whole.fit(X, Y, **OPTIONS, callbacks=[Halve()])
    stop = [Halve(), Stop(epochs=2)]
    resumed = cut_off_and_resumed(tmp_path / "kept", small(kind=kind), small(kind=kind), stop)
    assert resumed.optimizer.learning_rate == 0.05
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_ctrl_c_keeps_the_backup(tmp_path):
    class Press(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        model(1).fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(folder), Press()])
    history = model(1).fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(folder)])
    assert history.epoch == [2, 3]
    assert not folder.exists()


def test_data_sets_are_told_of_every_epoch():
    events = []
    data = dataset()
    data.on_epoch_begin = lambda: events.append("begin")
    data.on_epoch_end = lambda: events.append("end")
    model(1).fit(data, steps_per_epoch=4, epochs=4, verbose=0)
    assert events == ["begin", "end"] * 4


@pytest.mark.parametrize("arguments", [("",), ("x", 0), ("x", "batch")])
def test_arguments_of_backups(arguments):
    with pytest.raises(SpecError):
        callbacks.BackupAndRestore(*arguments)


def numbers(folder):
    """The scalars in the event files of a folder: `(step, value)` by tag."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            assert int.from_bytes(content[8:12], "little") == masked_crc32c(content[:8])
            event = Event.FromString(content[12 : 12 + size])
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                shown = value.simple_value if kind == "simple_value" else kind
                found.setdefault(value.tag, []).append((event.step, shown))
            content = content[16 + size :]
    return found


def test_event_files_hold_the_logs(tmp_path):
    made = model(1)
    board = callbacks.TensorBoard(
        tmp_path, histogram_freq=1, update_freq=2, write_steps_per_second=True
    )
    history = made.fit(X, Y, **OPTIONS, validation_data=(X, Y), callbacks=[board]).history
    train, validation = numbers(tmp_path / "train"), numbers(tmp_path / "validation")
    assert [step for step, _ in train["epoch_loss"]] == [0, 1, 2, 3]
    np.testing.assert_allclose([v for _, v in train["epoch_loss"]], history["loss"], rtol=1e-6)
    expected = history["val_loss"]
    np.testing.assert_allclose([v for _, v in validation["epoch_loss"]], expected, rtol=1e-6)
    assert [step for step, _ in train["batch_loss"]] == list(range(2, 33, 2))
    assert all(rate > 0 for _, rate in train["epoch_steps_per_second"])
    assert train["dense/kernel"] == [(epoch, "histo") for epoch in range(4)]


def test_event_files_need_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"kcompile\[tensorboard\]"):
        callbacks.TensorBoard()


def test_arguments_of_event_files():
    with pytest.raises(SpecError, match="update_freq"):
        callbacks.TensorBoard(update_freq="week")
    with pytest.raises(NotImplementedError, match="write_images"):
        callbacks.TensorBoard(write_images=True)


@pytest.mark.parametrize("name", ["OrbaxCheckpoint"])
def test_callbacks_that_are_not_there(name):
    with pytest.raises(NotImplementedError, match=name):
        getattr(callbacks, name)()
