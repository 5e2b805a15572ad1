"""Training, evaluation and prediction on data that come in batches, against Keras's."""

import functools
import threading

import grain
import h5py
import keras
import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import DataError, SpecError
from kcompile.training import stream_sources, streams
from kcompile.utils import pack_x_y_sample_weight, unpack_x_y_sample_weight

RANDOM = np.random.default_rng(3)
X = RANDOM.standard_normal((22, 4)).astype(np.float32)
Y = RANDOM.integers(0, 3, 22)
W = RANDOM.random(22).astype(np.float32)
OPTIONS = {"verbose": 0, "shuffle": False}


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    names = [t.name for t in threading.enumerate() if t.name.startswith(("data", "PyDataset"))]
    assert names == []


def network(library):
    layers = library.layers
    return library.Sequential(
        [library.Input((4,)), layers.Dense(5, activation="tanh"), layers.Dense(3)]
    )


def pair():
    """The same model here and in Keras."""
    ours, theirs = compiled(kcompile), compiled(keras)
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    return ours, theirs


def compiled(library):
    model = network(library)
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


def assert_same(ours, theirs, history=None, expected=None):
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for name, values in (expected or {}).items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=name)


def batches(weighted=False, size=6):
    arrays = (X, Y, W) if weighted else (X, Y)
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(X), size)]


def forever():
    while True:
        yield from batches()


class Loader:
    """What torch's DataLoader and tf.data have in common."""

    def __iter__(self):
        return iter([list(batch) for batch in batches()])

    def __len__(self):
        return len(batches())


class Tensor:
    """A tensor that gives its numbers as torch's do."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self.array


class Dataset(kcompile.utils.PyDataset):
    def __init__(self, given, **options):
        super().__init__(**options)
        self.given = given
        self.events = []

    def __len__(self):
        return len(self.given)

    def __getitem__(self, index):
        return self.given[index]

    def on_epoch_begin(self):
        self.events.append("begin")

    def on_epoch_end(self):
        self.events.append("end")


class KerasDataset(keras.utils.PyDataset):
    def __init__(self, given):
        super().__init__()
        self.given = given

    def __len__(self):
        return len(self.given)

    def __getitem__(self, index):
        return self.given[index]


@functools.cache
def on_arrays(weighted):
    """Keras's model before training, the one trained on arrays, and its results."""
    before, model = network(keras), compiled(keras)
    before.set_weights(model.get_weights())
    weights = {"sample_weight": W} if weighted else {}
    history = model.fit(X, Y, batch_size=6, epochs=2, **weights, **OPTIONS).history
    results = model.evaluate(X, Y, batch_size=6, verbose=0, return_dict=True, **weights)
    return before, model, history, results, model.predict(X, verbose=0)


SOURCES = {
    "list": lambda given: iter(given * 2),
    "loader": lambda given: Loader(),
    "tensors": lambda given: iter([tuple(map(Tensor, batch)) for batch in given] * 2),
    "ours": lambda given: Dataset(given),
    "keras": lambda given: KerasDataset(given),
    "grain": lambda given: grain.MapDataset.source(given),
}
CASES = [
    *((kind, False) for kind in SOURCES),
    ("ours", True),
    *(
        pytest.param(kind, True, marks=pytest.mark.slow)
        for kind in ("list", "tensors", "keras", "grain")
    ),
]


@pytest.mark.parametrize("kind, weighted", CASES)
def test_fit_is_that_on_arrays(kind, weighted):
    before, trained, logs, results, outputs = on_arrays(weighted)
    ours = compiled(kcompile)
    ours.set_weights(before.get_weights())
    given = batches(weighted)

    def make():
        return SOURCES[kind](given)

    steps = {"steps_per_epoch": len(given)} if kind in ("list", "tensors") else {}
    history = ours.fit(make(), epochs=2, **steps, **OPTIONS).history
    assert_same(ours, trained, history, logs)
    evaluated = ours.evaluate(make(), steps=len(given), verbose=0, return_dict=True)
    assert evaluated == pytest.approx(results, rel=1e-4)
    predicted = ours.predict(make(), steps=len(given), verbose=0)
    np.testing.assert_allclose(predicted, outputs, rtol=1e-4)


def test_an_endless_generator_and_validation_data_of_another_kind():
    ours, theirs = pair()
    options = {"steps_per_epoch": 3, "epochs": 4, **OPTIONS}
    history = ours.fit(forever(), validation_data=Dataset(batches()), **options).history

    theirs_batches = iter(
        [tuple(a[i : i + 6] for a in (X, Y)) for _ in range(3) for i in (0, 6, 12, 18)]
    )
    expected = {"val_loss": [], "val_accuracy": []}
    for _ in range(4):
        for _ in range(3):
            theirs.train_on_batch(*next(theirs_batches))
        result = theirs.evaluate(X, Y, batch_size=6, verbose=0, return_dict=True)
        expected["val_loss"].append(result["loss"])
        expected["val_accuracy"].append(result["accuracy"])
    assert_same(ours, theirs, history, expected)


def test_a_generator_that_ends_early():
    ours, _ = pair()
    with pytest.warns(UserWarning) as warned:
        history = ours.fit(iter(batches()), steps_per_epoch=3, epochs=5, **OPTIONS)
    messages = " ".join(str(warning.message) for warning in warned)
    assert "ends after 1 of 3 steps" in messages
    assert "training ends after 2 of 5 epochs" in messages
    assert history.epoch == [0, 1]
    with pytest.raises(DataError, match="no batches"):
        ours.fit(iter([]), **OPTIONS)
    with pytest.raises(DataError, match="no batches"):
        ours.evaluate(iter([]), verbose=0)
    with pytest.raises(DataError, match="after epoch 2: there are no batches left"):
        ours.fit(X, Y, epochs=2, validation_data=iter(batches()), **OPTIONS)


def test_a_generator_is_not_read_further_than_needed():
    ours, _ = pair()
    generator = forever()
    ours.fit(generator, steps_per_epoch=3, epochs=2, **OPTIONS)
    np.testing.assert_array_equal(next(generator)[0], batches()[2][0])


def test_batches_of_many_shapes():
    sizes = [3, 3, 3, 5, 3, 2, 2, 1]
    ends = np.cumsum(sizes)
    given = [(X[e - s : e], Y[e - s : e]) for s, e in zip(sizes, ends, strict=True)]
    ours, theirs = pair()
    ours.fit(iter(given), **OPTIONS)
    for batch in given:
        theirs.train_on_batch(*batch)
    assert_same(ours, theirs)


def test_sequences_of_many_lengths():
    model = kcompile.Sequential([kcompile.Input((None, 4)), kcompile.layers.LSTM(3)])
    model.compile("sgd", "mse")
    given = [(np.ones((2, time, 4)), np.zeros((2, 3))) for time in (3, 3, 5, 2, 3)]
    model.fit(iter(given), **OPTIONS)
    assert model.predict(iter(given), verbose=0).shape == (10, 3)


def test_class_weight_goes_with_batches():
    ours, theirs = pair()
    weight = {0: 0.5, 2: 3.0}
    ours.fit(Dataset(batches()), class_weight=weight, **OPTIONS)
    theirs.fit(X, Y, batch_size=6, class_weight=weight, **OPTIONS)
    assert_same(ours, theirs)


def test_callbacks_see_every_batch():
    ours, theirs = pair()
    seen = []
    for library, model, data in (
        (kcompile, ours, {"x": Dataset(batches())}),
        (keras, theirs, {"x": X, "y": Y, "batch_size": 6}),
    ):
        logs = []
        callback = library.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, kept=logs: kept.append((batch, logs["loss"]))
        )
        model.fit(**data, epochs=2, callbacks=[callback], **OPTIONS)
        seen.append(logs)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"workers": 3}, {"workers": 3, "max_queue_size": 1}])
def test_a_dataset_is_told_of_epochs_and_keeps_its_order(options):
    dataset = Dataset(batches(), **options)
    ours, theirs = pair()
    ours.fit(dataset, epochs=2, **OPTIONS)
    theirs.fit(X, Y, batch_size=6, epochs=2, **OPTIONS)
    assert_same(ours, theirs)
    assert dataset.events == ["begin", "end", "begin", "end"]


def test_workers_can_be_processes():
    dataset = Dataset(batches(), workers=2, use_multiprocessing=True)
    ours, theirs = pair()
    np.testing.assert_allclose(
        ours.predict(dataset, verbose=0), theirs.predict(X, verbose=0), rtol=1e-4
    )


def test_a_dataset_is_shuffled_by_batches():
    ours, _ = pair()
    seen = []

    class Seen(Dataset):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    ours.trainer._seed = 5
    ours.fit(Seen(batches(size=2)), epochs=2, verbose=0)
    first, second = seen[:11], seen[11:]
    assert sorted(first) == sorted(second) == list(range(11))
    assert first != second


@pytest.mark.parametrize("workers", [1, 3])
def test_the_error_of_a_worker_names_the_batch(workers):
    class Fails(Dataset):
        def __getitem__(self, index):
            if index == 2:
                raise ValueError("bad file")
            return super().__getitem__(index)

    ours, _ = pair()
    with pytest.raises(DataError, match="batch 2 failed: ValueError: bad file") as caught:
        ours.fit(Fails(batches(), workers=workers), **OPTIONS)
    assert isinstance(caught.value.__cause__, ValueError)
    ours.fit(X, Y, **OPTIONS)  # the weights were given back


def test_what_is_wrong_in_a_later_batch_is_an_error():
    bad = batches()
    bad[2] = (bad[2][0], np.full(6, 7))
    ours, _ = pair()
    with pytest.raises(DataError, match="label 7"):
        ours.fit(iter(bad), **OPTIONS)
    bad[2] = (np.full((6, 4), np.nan), bad[2][1])
    with pytest.raises(DataError, match="NaN"):
        ours.fit(iter(bad), **OPTIONS)


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_targets_come_with_the_batches(name):
    ours, _ = pair()
    with pytest.raises(DataError, match=name):
        ours.fit(iter(batches()), **{name: Y}, **OPTIONS)
    with pytest.raises(DataError, match="validation_split"):
        ours.fit(iter(batches()), validation_split=0.5, **OPTIONS)


class Counted(h5py.Dataset):
    """Notes how many rows are read at once."""

    reads: list[int] = []

    def __getitem__(self, selection):
        result = super().__getitem__(selection)
        self.reads.append(len(result))
        return result


@pytest.fixture
def file(tmp_path, monkeypatch):
    # 64 rows of 4 + 1 numbers: at most ten rows at once.
    monkeypatch.setattr(streams, "READ_BYTES", 240)
    monkeypatch.setattr(stream_sources, "STREAM_BYTES", 240)
    Counted.reads.clear()
    with h5py.File(tmp_path / "rows.h5", "w") as opened:
        rows = RANDOM.standard_normal((64, 4)).astype(np.float32)
        opened["x"], opened["y"] = rows, (rows.sum(axis=1) > 0).astype(np.int32)
        yield {name: Counted(opened[name].id) for name in ("x", "y")}


def test_rows_of_a_file_are_read_in_blocks(file):
    ours, theirs = pair()
    assert type(file["x"]).__module__.startswith("h5py") is False
    Counted.__module__ = "h5py._hl.dataset"
    history = ours.fit(
        file["x"], file["y"], batch_size=4, validation_split=0.25, epochs=2, **OPTIONS
    ).history
    assert Counted.reads
    assert max(Counted.reads) <= 12
    arrays = file["x"][:], file["y"][:]
    expected = theirs.fit(*arrays, batch_size=4, validation_split=0.25, epochs=2, **OPTIONS)
    assert_same(ours, theirs, history, expected.history)
    Counted.reads.clear()
    outputs = ours.predict(file["x"], batch_size=5, verbose=0)
    assert max(Counted.reads) <= 240 // 16
    np.testing.assert_allclose(outputs, theirs.predict(arrays[0], verbose=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_shuffled_rows_of_a_file_are_those_of_arrays(file, shuffle):
    Counted.__module__ = "h5py._hl.dataset"
    ours, _ = pair()
    other = network(kcompile)
    other.set_weights(ours.get_weights())
    other.compile("adam", kcompile.losses.SparseCategoricalCrossentropy(from_logits=True))
    arrays = file["x"][:], file["y"][:]
    Counted.reads.clear()
    for model, data in ((ours, (file["x"], file["y"])), (other, arrays)):
        model.trainer._seed = 11
        model.fit(*data, batch_size=4, epochs=2, shuffle=shuffle, verbose=0)
    assert max(Counted.reads) <= 12
    assert_same(ours, other)


def test_parts_of_a_batch():
    assert pack_x_y_sample_weight(X) is X
    for parts in ((X,), (X, Y), (X, Y, W)):
        for library in (kcompile, keras):
            got = library.utils.unpack_x_y_sample_weight(parts)
            assert all(a is b for a, b in zip(got, (*parts, None, None), strict=False))
        assert unpack_x_y_sample_weight(pack_x_y_sample_weight(*parts))[: len(parts)] == parts
    with pytest.raises(DataError, match="4 entries"):
        unpack_x_y_sample_weight((1, 2, 3, 4))


@pytest.mark.parametrize("name", ["workers", "max_queue_size"])
def test_numbers_of_a_dataset(name):
    with pytest.raises(SpecError, match=name):
        kcompile.utils.PyDataset(**{name: 0})


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress_with_an_unknown_end(capsys, verbose):
    ours, _ = pair()
    ours.fit(iter(batches()), verbose=verbose)
    assert "4/4" in capsys.readouterr().out


def test_a_generator_that_waits_for_ever_does_not_hold_up_who_stops():
    release = threading.Event()
    late = threading.Timer(60, release.set)

    def waiting():
        yield batches()[0]
        release.wait()

    class Stop(kcompile.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise InterruptedError

    ours, _ = pair()
    late.start()
    with pytest.raises(InterruptedError):
        ours.fit(waiting(), callbacks=[Stop()], **OPTIONS)
    (thread,) = [t for t in threading.enumerate() if t.name == "data"]
    assert thread.daemon and not release.is_set()
    late.cancel()
    release.set()
    thread.join(60)
