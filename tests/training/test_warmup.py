"""warmup: afterwards fit, evaluate and predict compile nothing, and nothing else has changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import DataError, SpecError, TrainingError
from kcompile.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input
from kcompile.training import blocks

_seen: list[str] = []
jax.monitoring.register_event_duration_secs_listener(lambda name, _seconds, **_: _seen.append(name))


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """The programs that are compiled inside."""
    begin = len(_seen)
    found: list[str] = []
    yield found
    found += [name for name in _seen[begin:] if name.endswith("backend_compile_duration")]


def types(*arrays: Any) -> list[Any]:
    return [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]


def dense(optimizer: Any = "adam") -> Any:
    kcompile.utils.set_random_seed(3)
    x = Input((6,), name="x")
    h = Dropout(0.2, seed=1, name="drop")(Dense(8, activation="relu", name="hidden")(x))
    y = Dense(3, activation="softmax", name="y")(BatchNormalization(name="norm")(h))
    model = kcompile.Model(x, y, name="dense")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convolutional() -> Any:
    kcompile.utils.set_random_seed(3)
    x = Input((6, 6, 1), name="x")
    y = Dense(3, name="y")(Flatten(name="flat")(Conv2D(2, 3, name="conv")(x)))
    model = kcompile.Model(x, y, name="convolutional")
    model.compile("sgd", kcompile.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


random = np.random.default_rng(0)
X, Y = random.random((70, 6), np.float32), random.integers(0, 3, 70)
IMAGES = random.integers(0, 255, (70, 6, 6, 1)).astype(np.uint8)

FITS: list[dict[str, Any]] = [
    {"batch_size": 32},
    {"batch_size": 35},
    {"batch_size": 100},
    {"batch_size": 16, "validation_split": 0.3, "validation_batch_size": 7},
    {"batch_size": 16, "validation_data": (X[:9], Y[:9], np.ones(9, np.float32))},
    {"steps_per_epoch": 3, "validation_split": 0.5, "validation_steps": 1},
    {"sample_weight": np.ones(70)},
    {"class_weight": {0: 1.0, 1: 2.0, 2: 3.0}},
]


@pytest.mark.parametrize("options", FITS, ids=lambda options: "-".join(options))
def test_fit_compiles_nothing_afterwards(options: dict[str, Any]) -> None:
    model = dense()
    shapes = dict(zip("xy", types(X, Y), strict=True))
    described = dict(options)
    if "validation_data" in options:
        described["validation_data"] = tuple(types(*options["validation_data"]))
    with compilations() as compiled:
        model.warmup(**shapes, **described)
    assert compiled
    with compilations() as compiled:
        history = model.fit(X, Y, epochs=3, verbose=0, **options)
    assert compiled == []
    plain = dense()
    expected = plain.fit(X, Y, epochs=3, verbose=0, **options)
    assert history.history == expected.history
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))


@pytest.mark.parametrize("resident_bytes", [2**30, 100])
@pytest.mark.parametrize("make", [dense, convolutional])
def test_data_in_blocks_and_programs_without_loops(
    make: Any, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "RESIDENT_BYTES", resident_bytes)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    model, rows = make(), X if make is dense else IMAGES
    model.warmup(*types(rows, Y), 16, methods=("fit", "evaluate", "predict"))
    with compilations() as compiled:
        model.fit(rows, Y, 16, epochs=2, verbose=0)
        model.evaluate(rows, Y, 16, verbose=0)
        model.predict(rows, 16, verbose=0)
    assert compiled == []


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: kcompile.optimizers.SGD(0.1, momentum=0.9, use_ema=True),
        lambda: kcompile.optimizers.AdamW(gradient_accumulation_steps=2, clipnorm=1.0),
        lambda: kcompile.optimizers.LossScaleOptimizer(kcompile.optimizers.Adam()),
    ],
)
def test_state_that_optimizers_keep(optimizer: Any) -> None:
    model = dense(optimizer())
    model.warmup(*types(X, Y))
    assert model.trainer.progress.slots is None
    # What an optimizer takes from the weights, it takes when training begins.
    model.set_weights([weight + 1 for weight in model.get_weights()])
    with compilations() as compiled:
        model.fit(X, Y, epochs=2, verbose=0)
    plain = dense(optimizer())
    plain.set_weights([weight + 1 for weight in plain.get_weights()])
    plain.fit(X, Y, epochs=2, verbose=0)
    assert compiled == []
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_only_what_is_asked_for() -> None:
    model = dense()
    model.warmup(*types(X), methods=["predict"], batch_size=50)
    with compilations() as compiled:
        outputs = model.predict(X, 50, verbose=0)
    assert compiled == [] and outputs.shape == (70, 3)
    with compilations() as compiled:
        model.evaluate(X, Y, 50, verbose=0)
    assert len(compiled) == 2
    model.warmup(*types(X, Y), methods=["evaluate"], batch_size=20, steps_per_epoch=2)
    with compilations() as compiled:
        model.evaluate(X, Y, 20, steps=2, verbose=0)
    assert compiled == []


def test_arrays_do_as_well_and_weights_stay() -> None:
    model = dense()
    before = model.get_weights()
    model.warmup(X, Y)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    with compilations() as compiled:
        model.fit(X, Y, verbose=0)
    assert compiled == []


def test_several_inputs_and_strings() -> None:
    text = Input((), dtype="string", name="text")
    number = Input((2,), name="number")
    codes = kcompile.layers.StringLookup(
        vocabulary=["a", "b"], output_mode="one_hot", name="codes"
    )(text)
    joined = kcompile.layers.Concatenate(name="joined")([codes, number])
    model = kcompile.Model([text, number], Dense(1, name="y")(joined), name="two")
    model.compile("sgd", "mse")
    words, numbers = np.array(["a", "b", "c", "a"], object), np.ones((4, 2), np.float32)
    described = [SimpleNamespace(shape=(4,), dtype="string"), *types(numbers)]
    model.warmup(described, *types(numbers[:, :1]), methods=("fit", "predict"))
    with compilations() as compiled:
        model.fit([words, numbers], numbers[:, :1], verbose=0)
        model.predict([words, numbers], verbose=0)
    assert compiled == []


def test_what_is_refused() -> None:
    model = dense()
    x, y = types(X, Y)
    with pytest.raises(SpecError, match="methods is a list of fit, evaluate, predict, not 'fit'"):
        model.warmup(x, y, methods="fit")
    with pytest.raises(SpecError, match="methods is a list of"):
        model.warmup(x, y, methods=["train"])
    with pytest.raises(SpecError, match="batch_size must be an integer of at least 1"):
        model.warmup(x, y, 0)
    with pytest.raises(DataError, match=r"a shape needs numbers, got \(None, 6\)"):
        model.warmup(SimpleNamespace(shape=(None, 6), dtype="float32"), y)
    with pytest.raises(DataError, match="whose shapes nobody knows yet"):
        model.warmup(iter([(X, Y)]))
    with pytest.raises(DataError, match="the numbers of rows differ"):
        model.warmup(x, *types(Y[:5]))
    plain = kcompile.Sequential([Input((6,), name="x"), Dense(1, name="y")], name="plain")
    with pytest.raises(TrainingError, match="the model has not been compiled"):
        plain.warmup(x, y)
    plain.warmup(x, methods=["predict"])


def test_steps_of_ones_own_are_not_there() -> None:
    class Own(kcompile.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.dense = Dense(3, name="y")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, state: Any, data: Any) -> Any:
            return super().train_step(state, data)

    model = Own()
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match="warmup of a model with its own train_step"):
        model.warmup(*types(X, X[:, :3]))
