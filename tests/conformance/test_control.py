"""Loops, conditionals, cells in loops and stateful layers against Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers, ops
from kcompile.ir.errors import ExportError, SpecError
from kcompile.ir.op import Array
from kcompile.ir.parser import parse_graph
from kcompile.layers import Layer
from kcompile.models import Model
from kcompile.passes.to_inference import to_inference

X = np.random.default_rng(0).normal(size=(5, 3)).astype("f")
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def _sums(o: Any, f: Any, **options: Any) -> Any:
    return [o.associative_scan(f, X, **options), o.associative_scan(f, X[:1], **options)]


CALLS: dict[str, Callable[[Any], Any]] = {
    "scan": lambda o: o.scan(lambda c, x: (c + x, c * x), np.zeros(3, "f"), X),
    "scan-structures": lambda o: o.scan(
        lambda c, x: ({"a": c["a"] + x[0], "b": c["b"] * 2}, (c["a"], x[1])),
        {"a": np.zeros(3, "f"), "b": np.float32(1)},
        (X, X * 2),
        reverse=True,
    ),
    "scan-length": lambda o: o.scan(lambda c, _: (c * 2, c), np.float32(1), length=4),
    "while": lambda o: o.while_loop(lambda i, v: i < 4, lambda i, v: (i + 1, v * 2), (0, X)),
    "while-one": lambda o: o.while_loop(lambda v: o.sum(v) < 99, lambda v: v * 2, np.ones(3, "f")),
    "while-maximum": lambda o: o.while_loop(
        lambda v: o.sum(v) < 99, lambda v: v * 2, np.ones(3, "f"), maximum_iterations=3
    ),
    "fori": lambda o: o.fori_loop(0, 4, lambda i, v: v + o.cast(i, "float32"), X),
    "fori-none": lambda o: o.fori_loop(3, 2, lambda i, v: v * 2, X),
    "fori-tensors": lambda o: o.fori_loop(
        np.int32(1), o.sum(np.array([1, 3], np.int32)), lambda i, v: v * 2, X
    ),
    "cond": lambda o: [o.cond(o.sum(X) > n, lambda: X + 1, lambda: X * 2) for n in (-99, 99)],
    "switch": lambda o: [
        o.switch(i, [lambda a: a + 1, lambda a: a * 2, lambda a: a - 5], X)
        for i in (-1, 0, 1, 2, 9)
    ],
    "map": lambda o: o.map(lambda x: {"s": o.sum(x["p"]), "d": x["q"] - 1}, {"p": X, "q": X}),
    "associative": lambda o: _sums(o, lambda a, b: a + b),
    "associative-reverse": lambda o: _sums(o, o.maximum, reverse=True),
    "associative-axis": lambda o: _sums(o, lambda a, b: a * b, axis=1),
    "associative-pairs": lambda o: [
        o.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (X[:n], X[:n] + 1))
        for n in (2, 3, 4)
    ],
    "vectorized-map": lambda o: o.vectorized_map(
        lambda e: o.matmul(e[0], e[1]), (X, X[:, :, None])
    ),
    "vectorize": lambda o: o.vectorize(lambda a, b: a * b + 1)(X, X[0]),
    "vectorize-axes": lambda o: o.vectorize(lambda a, b: o.sum(a * b), signature="(n),(n)->()")(
        X, X[0]
    ),
    "vectorize-excluded": lambda o: o.vectorize(lambda a, k: a * k, excluded={1})(X, 3.0),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_equal_keras(name: str) -> None:
    found, expected = (jax.tree.leaves(CALLS[name](o)) for o in (ops, keras.ops))
    for ours, theirs in zip(found, expected, strict=True):
        assert str(ours.dtype) == str(theirs.dtype)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, **TOLERANCE)


class Looping(Layer):
    """A layer inside of a loop inside of a loop, with a branch, a dropout and outer sizes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = layers.Dense(4, activation="tanh")
        self.dropout = layers.Dropout(0.5)

    def call(self, x: Any, training: bool = False) -> Any:
        batch, time, _ = x.type.shape

        def step(carry: Any, x: Any) -> tuple[Any, Any]:
            h = self.dropout(self.dense(ops.concatenate([carry, x], -1)))
            h = ops.cond(ops.sum(h) > 0, lambda: h * 2, lambda: h + 1)
            total, _ = ops.scan(lambda a, e: (a + e, a), ops.zeros((batch,)), ops.transpose(h))
            return h, ops.expand_dims(total, -1) + ops.ones((batch, 2))

        last, y = ops.scan(step, ops.zeros((batch, 4)), ops.transpose(x, (1, 0, 2)))
        return ops.transpose(y, (1, 0, 2)), ops.associative_scan(lambda a, b: a + b, last, axis=0)


def test_a_layer_with_loops_trains_and_is_exported() -> None:
    kcompile.utils.set_random_seed(0)
    x = layers.Input((None, 3))
    model = Model(x, Looping()(x))
    kcompile.compile(model)  # verifies the file for several sizes
    model.compile(kcompile.optimizers.SGD(0.003), "mse")
    rows = np.random.default_rng(0).normal(size=(5, 7, 3)).astype("f")
    targets = (np.zeros((5, 7, 2), "f"), np.zeros((5, 4), "f"))
    before = model.evaluate(rows, targets, verbose=0)[0]
    losses = model.fit(rows, targets, epochs=8, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert model.evaluate(rows, targets, verbose=0)[0] < before


def test_the_text_form_and_inference_hold_loops() -> None:
    x = layers.Input((None, 3))
    graph = Model(x, Looping()(x)).graph(training=True)
    assert parse_graph(str(graph)) == graph
    assert "dropout" in str(graph) and "random_uniform" in str(graph)
    inference = str(to_inference(graph))
    assert "dropout(" not in inference and "random_uniform" not in inference


def test_each_step_has_random_numbers_of_its_own() -> None:
    kept = ops.map(lambda x: ops.dropout(x, 0.5), np.ones((2, 200), "f"))
    assert 0 < np.mean(np.asarray(kept[0] == kept[1])) < 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.scan(lambda c, x: c, X[0], X), SpecError, "a carry and an output"),
        (lambda: ops.scan(lambda c, x: (c, x), X[0]), SpecError, "needs xs or length"),
        (lambda: ops.scan(lambda c, x: (x[:2], x), X[0], X), ValueError, "carry of the body"),
        (
            lambda: ops.while_loop(lambda v: True, lambda v: ops.dropout(v, 0.5), X),
            NotImplementedError,
            "random numbers",
        ),
        (
            lambda: ops.cond(np.array(True), lambda: (X, X), lambda: X),
            SpecError,
            r"structures \('tensor', 'tensor'\) and tensor",
        ),
        (
            lambda: ops.cond(np.array(True), lambda: {"a": X, "b": X}, lambda: {"a": X, "c": X}),
            SpecError,
            "branches return the structures",
        ),
        (
            lambda: ops.cond(np.array(True), lambda: (None, X), lambda: (X, None)),
            SpecError,
            "branches return the structures",
        ),
        (
            lambda: ops.scan(lambda c, x: ({"b": c["a"]}, x), {"a": X[0]}, X),
            SpecError,
            "returns one of {'b': 'tensor'}",
        ),
        (
            lambda: ops.while_loop(lambda i: i < 3, lambda i: 5.7, np.int32(0)),
            SpecError,
            "int32 returns the number 5.7",
        ),
        (
            lambda: ops.while_loop(lambda i: i < 3, lambda i: 2**40, np.int32(0)),
            SpecError,
            "int32 returns the number",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_whole_number_is_an_integer_carry() -> None:
    found = np.asarray(ops.while_loop(lambda i: i < 3, lambda i: 5.0, np.int32(0)))
    assert found == 5 and found.dtype == np.int32
    # The order of keys says nothing, nor whether a sequence is a list.
    both = ops.scan(lambda c, x: ({"b": [x], "a": c["a"]}, x), {"a": X[0], "b": (X[0],)}, X)[0]
    np.testing.assert_array_equal(both["b"][0], X[-1])


def test_a_state_is_not_assigned_inside() -> None:
    norm = layers.BatchNormalization()
    with pytest.raises(SpecError, match="assigned inside of a loop"):
        Model(x := layers.Input((4, 3)), ops.map(lambda row: norm(row, training=True), x))


def _cell(k: Any) -> Any:
    class Cell(k.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, units: int, **options: Any) -> None:
            super().__init__(**options)
            self.units = self.output_size = units
            self.state_size = [units, units]

        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], self.units), name="w")
            self.built = True

        def call(self, x: Any, states: Any) -> Any:
            h = k.ops.tanh(k.ops.matmul(x, self.w) + states[0])
            return h, [h, states[1] + h]

    return Cell


OPTIONS: list[dict[str, Any]] = [
    {"return_sequences": True},
    {"return_sequences": True, "return_state": True, "go_backwards": True},
    {"return_state": True, "zero_output_for_mask": True},
    {"go_backwards": True},
]
SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("initial", "unrolled")]
HOLES = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]], bool)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["cell", "stacked", *SLOW])
def test_cells_of_ones_own_loop_over_open_lengths(kind: str, options: dict[str, Any]) -> None:
    def make(k: Any) -> Any:
        x = k.layers.Input((6 if kind == "unrolled" else None, 2))
        states = [k.layers.Input((4,)) for _ in range(2)] if kind in ("initial", "unrolled") else []
        cell = _cell(k)(4)
        cells = [cell, _cell(k)(4)] if kind == "stacked" else cell
        layer = k.layers.RNN(cells, unroll=kind == "unrolled", **options)
        y = layer(k.layers.Masking()(x), initial_state=states or None)
        return k.Model([x, *states], y)

    theirs, ours = make(keras), make(kcompile)
    ours.set_weights(theirs.get_weights())
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(3, 6, 2)).astype("f") * HOLES[..., None]
    given = [rows, *(rng.normal(size=(3, 4)).astype("f") for _ in theirs.inputs[1:])]
    expected = [np.asarray(y) for y in jax.tree.leaves(theirs(given))]
    found = jax.tree.leaves(ours.predict(given, verbose=0))
    exported = list(kcompile.compile(ours, verify=False).run(given).values())
    for results in (found, exported):
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(one, other, **TOLERANCE)


STATEFUL: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "lstm": ((4, 3), lambda k: k.layers.LSTM(4, stateful=True)),
    "gru": ((4, 3), lambda k: k.layers.GRU(4, stateful=True, go_backwards=True)),
    "simple": ((4, 3), lambda k: k.layers.SimpleRNN(4, stateful=True, return_sequences=True)),
    "cell": ((4, 3), lambda k: k.layers.RNN(_cell(k)(4), stateful=True)),
    "conv": ((4, 3, 2), lambda k: k.layers.ConvLSTM1D(2, 2, stateful=True)),
    "both": ((4, 3), lambda k: k.layers.Bidirectional(k.layers.LSTM(2, stateful=True))),
}


def _reset(model: Any) -> None:
    layer = model.layers[-1]
    for one in (
        layer,
        getattr(layer, "forward_layer", None),
        getattr(layer, "backward_layer", None),
    ):
        if hasattr(one, "reset_state"):
            one.reset_state()


@pytest.mark.parametrize("name", STATEFUL)
def test_states_last_from_call_to_call_until_reset(name: str, tmp_path: Any) -> None:
    """Keras on JAX carries states between eager calls alone, so those are what we compare to."""
    shape, make = STATEFUL[name]

    def build(k: Any) -> Any:
        x = k.layers.Input(shape, batch_size=2)
        return k.Model(x, make(k)(x))

    theirs, ours = build(keras), build(kcompile)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    xs = [np.random.default_rng(i).normal(size=(2, *shape)).astype("f") for i in range(3)]
    run: Callable[[Array], Array]
    for run in (lambda x: ours.predict(x, verbose=0), ours):
        _reset(theirs), _reset(ours)
        for x in xs:
            np.testing.assert_allclose(run(x), theirs(x), **TOLERANCE)
    _reset(theirs), _reset(ours)
    together = ours.predict(np.concatenate(xs), batch_size=2, verbose=0)
    np.testing.assert_allclose(together, np.concatenate([theirs(x) for x in xs]), **TOLERANCE)
    with pytest.raises(ExportError, match="from call to call"):
        kcompile.compile(ours)
    ours.save_weights(tmp_path / "stateful.weights.h5")
    theirs.load_weights(tmp_path / "stateful.weights.h5")


def test_training_and_evaluation_carry_states() -> None:
    x = layers.Input((4, 3), batch_size=2)
    layer = layers.SimpleRNN(4, stateful=True)
    model = Model(x, layer(x))
    model.compile("sgd", "mse")
    rows, targets = np.ones((2, 4, 3), "f"), np.zeros((2, 4), "f")
    model.fit(rows, targets, batch_size=2, verbose=0)
    after_fit = layer.states[0].numpy()
    assert np.abs(after_fit).max() > 0
    model.evaluate(rows, targets, batch_size=2, verbose=0)
    assert np.abs(layer.states[0].numpy() - after_fit).max() > 1e-6
    layer.reset_states()
    assert not layer.states[0].numpy().any()


def test_states_need_a_batch_size() -> None:
    with pytest.raises(SpecError, match="fixed batch size"):
        layers.LSTM(2, stateful=True)(layers.Input((4, 3)))
