"""The reference runtime, the binding of arrays, and the references against Keras and JAX."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError, VerifyError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.op import OPS, Op, evaluate
from kcompile.ir.ops import random as random_ops
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes import reference
from kcompile.runtimes.binding import bind_arrays
from tests.ops.cases import CASES, assert_same

F32 = DType.FLOAT32
Array = np.ndarray[Any, Any]


def test_every_op_has_a_case() -> None:
    assert {type(case.op) for case in CASES} == set(OPS.values())


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


# The runtime


def _counting() -> Graph:
    """Output x + w; the state `steps` goes up by one, `kept` has no update."""
    builder = Builder("counting")
    x = builder.input("x", TensorType(F32, (symbol("batch"), 2)))
    w = builder.input("w", TensorType(F32, (2,)), Role.PARAM)
    steps = builder.input("steps", TensorType(DType.INT32, ()), Role.STATE)
    kept = builder.input("kept", TensorType(F32, (2,)), Role.STATE)
    one = builder.constant(np.int32(1))
    builder.update(steps, builder.emit(ops.Add(), steps, one)[0])
    (y,) = builder.emit(ops.Add(), x, w)
    return builder.finish([("sum", builder.emit(ops.Add(), y, kept)[0])])


ARRAYS: dict[str, Any] = {
    "x": np.zeros((3, 2), np.float32),
    "w": np.array([1, 2], np.float32),
    "steps": np.int32(4),
    "kept": np.ones(2, np.float32),
}


def test_outputs_and_next_states_by_name() -> None:
    outputs, states = reference.run(_counting(), ARRAYS)
    assert outputs["sum"].tolist() == [[2, 3]] * 3
    assert {name: int(state) for name, state in states.items()} == {"steps": 5}


def test_a_reference_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.Add, "reference", lambda self, a, b: np.zeros(7))
    with pytest.raises(VerifyError, match=r"%add_?\d* = add: the reference made f64\[7\], the "):
        reference.run(_counting(), ARRAYS)


def test_sizes_that_an_op_is_not_defined_for() -> None:
    builder = Builder("sliced")
    x = builder.input("x", TensorType(F32, (symbol("batch"),)))
    graph = builder.finish([("y", builder.emit(ops.Slice((0,), (4,), (1,)), x)[0])])
    assert reference.run(graph, {"x": np.zeros(5, np.float32)})[0]["y"].shape == (4,)
    message = (
        r"'sliced': %slice = slice: not defined for batch = 3: 0:4 is outside axis 0 of size 3"
    )
    with pytest.raises(DataError, match=message):
        reference.run(graph, {"x": np.zeros(3, np.float32)})


# Binding


def _refusal(**changes: Any) -> str:
    given = {name: array for name, array in {**ARRAYS, **changes}.items() if array is not None}
    with pytest.raises(DataError) as caught:
        bind_arrays(_counting(), given)
    return str(caught.value)


def test_bind_gives_arrays_and_sizes() -> None:
    bound, env = bind_arrays(_counting(), {**ARRAYS, "steps": np.int32(4)})
    assert list(bound) == ["x", "w", "steps", "kept"]
    assert bound["x"] is ARRAYS["x"]
    assert env == {"batch": 3}


def test_bind_names_what_is_missing() -> None:
    assert _refusal(w=None) == "graph 'counting': the param input %w : f32[2] is missing"


def test_bind_names_what_is_unknown() -> None:
    assert _refusal(z=ARRAYS["x"]) == (
        "graph 'counting': there is no input %z. The inputs are %x, %w, %steps, %kept"
    )


def test_bind_compares_element_types() -> None:
    assert _refusal(x=np.zeros((3, 2))) == (
        "graph 'counting': the input %x : f32[batch,2] needs elements of type float32, got float64."
        " Cast it: %x = numpy.asarray(values).astype('float32')"
    )
    assert "got complex64" in _refusal(x=np.zeros((3, 2), np.complex64))
    assert "got <U1" in _refusal(x=np.array([["a", "b"]])) or "got object" in _refusal(
        x=np.array([["a", "b"]])
    )
    assert "got float64" in _refusal(x=[[1.0, 2.0]])


def test_bind_compares_shapes() -> None:
    where = "graph 'counting': the input %"
    assert _refusal(x=np.zeros(2, np.float32)) == f"{where}x needs f32[batch,2], got shape [2]"
    assert _refusal(w=np.zeros(3, np.float32)) == f"{where}w needs f32[2], got shape [3]"


def test_bind_refuses_an_empty_symbolic_axis() -> None:
    assert "has batch = 0, which must be positive" in _refusal(x=np.zeros((0, 2), np.float32))


def _two_lengths(first: Any, second: Any) -> Graph:
    builder = Builder("two")
    x = builder.input("x", TensorType(F32, (first,)))
    builder.input("z", TensorType(F32, (second,)))
    return builder.finish([("y", x)])


def test_bind_compares_symbols_across_inputs() -> None:
    time = symbol("time")
    three, six = np.zeros(3, np.float32), np.zeros(6, np.float32)
    with pytest.raises(DataError, match=r"%z needs f32\[time\] with time = 3, got shape \[6\]"):
        bind_arrays(_two_lengths(time, time), {"x": three, "z": six})
    # the symbol's own axis may come after the one that is computed from it
    assert bind_arrays(_two_lengths(time * 2, time), {"x": six, "z": three})[1] == {"time": 3}
    with pytest.raises(DataError, match=r"%x needs f32\[2\*time\] with 2\*time = 12, got"):
        bind_arrays(_two_lengths(time * 2, time), {"x": three, "z": six})


def test_bind_takes_strings() -> None:
    builder = Builder("strings")
    x = builder.input("x", TensorType(DType.STRING, (2,)))
    graph = builder.finish([("y", builder.emit(ops.Equal(), x, x)[0])])
    assert reference.run(graph, {"x": np.array(["a", "b"])})[0]["y"].tolist() == [True, True]


# The references against independent implementations


@pytest.fixture(scope="module")
def keras() -> Any:
    return importlib.import_module("keras")


def _draw(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _reference(op: Op, *operands: Array | None) -> Array:
    return evaluate(op, operands)[0]


CONVOLUTIONS = [
    (padding, strides, dilation, groups, size, kernel, data_format)
    for padding in ("valid", "same")
    for strides, dilation in (((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 3)))
    for groups in (1, 2)
    for size, kernel in (((7, 8), (2, 3)), ((8, 7), (3, 2)))
    for data_format in (CHANNELS_LAST, CHANNELS_FIRST)
]


@pytest.mark.parametrize(
    ("padding", "strides", "dilation", "groups", "size", "kernel", "data_format"), CONVOLUTIONS
)
def test_conv_equals_keras(
    keras: Any,
    padding: str,
    strides: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    data_format: str,
) -> None:
    x = _draw(2, *size, 4)
    x = x if data_format == CHANNELS_LAST else np.moveaxis(x, -1, 1)
    w = _draw(*kernel, 4 // groups, 6)
    expected = keras.ops.conv(x, w, strides, padding, data_format, dilation, groups=groups)
    padding_attribute = "same" if padding == "same" else ((0, 0), (0, 0))
    op = ops.Conv(strides, padding_attribute, dilation, groups, data_format)
    assert_same(_reference(op, x, w) / 8, np.asarray(expected) / 8)


@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (2, 3), (3, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pooling_equals_keras(
    keras: Any, size: int, window: int, stride: int, padding: str
) -> None:
    x = _draw(2, size, size + 1, 3)
    attribute = "same" if padding == "same" else ((0, 0), (0, 0))
    arguments = ((window, window), (stride, stride), attribute)
    for op, function in (
        (ops.MaxPool(*arguments), keras.ops.max_pool),
        (ops.AveragePool(*arguments), keras.ops.average_pool),
    ):
        expected = function(x, (window, window), (stride, stride), padding, "channels_last")
        assert_same(_reference(op, x), np.asarray(expected))


@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_norm_equals_keras(keras: Any, axis: int) -> None:
    x = 3 * _draw(4, 5, 6, 7) + 2
    layer = keras.layers.BatchNormalization(axis=axis, epsilon=0.01, momentum=0.9)
    layer.build(x.shape)
    gamma, beta, mean, variance = (np.abs(_draw(x.shape[axis])) + i for i in range(4))
    layer.set_weights([gamma, beta, mean, variance])
    frozen = _reference(ops.BatchNorm(axis, 0.01), x, mean, variance, gamma, beta)
    assert_same(frozen, np.asarray(layer(x, training=False)))
    training = ops.BatchNormTraining(axis, 0.01)
    y, batch_mean, batch_variance = evaluate(training, (x, gamma, beta))
    assert_same(y, np.asarray(layer(x, training=True)))
    new_mean, new_variance = layer.get_weights()[2:]
    assert_same(mean * np.float32(0.9) + batch_mean * np.float32(0.1), new_mean)
    assert_same(variance * np.float32(0.9) + batch_variance * np.float32(0.1), new_variance)


ACTIVATIONS: list[tuple[Op, str, dict[str, Any]]] = [
    (ops.Relu(), "relu", {}),
    (ops.Sigmoid(), "sigmoid", {}),
    (ops.Tanh(), "tanh", {}),
    (ops.Softplus(), "softplus", {}),
    (ops.Softsign(), "softsign", {}),
    (ops.Elu(), "elu", {}),
    (ops.Elu(0.3), "elu", {"alpha": 0.3}),
    (ops.LeakyRelu(), "leaky_relu", {}),
    (ops.Gelu(), "gelu", {"approximate": False}),
    (ops.Gelu(True), "gelu", {"approximate": True}),
    (ops.Softmax(), "softmax", {}),
    (ops.LogSoftmax(1), "log_softmax", {"axis": 1}),
    (ops.Erf(), "erf", {}),
    (ops.Rsqrt(), "rsqrt", {}),
    (ops.Round(), "round", {}),
    (ops.Sign(), "sign", {}),
    (ops.ReduceMax((1,)), "max", {"axis": 1}),
    (ops.ReduceMean((0, 1)), "mean", {"axis": (0, 1)}),
    (ops.ReduceProd((0,), True), "prod", {"axis": 0, "keepdims": True}),
    (ops.Argmax(1), "argmax", {"axis": 1}),
]


@pytest.mark.parametrize(
    ("op", "name", "arguments"), ACTIVATIONS, ids=[repr(row[0]) for row in ACTIVATIONS]
)
def test_functions_equal_keras(keras: Any, op: Op, name: str, arguments: dict[str, Any]) -> None:
    x = np.append(_draw(5, 6), np.float32([[0, -0.0, 30, -30, 0.5, 2.5]]), axis=0)
    expected = getattr(keras.ops, name)(x, **arguments)
    assert_same(_reference(op, x), np.asarray(expected))


def _distribution(*shape: int) -> Array:
    draws = np.random.default_rng(1).uniform(0.05, 1, shape).astype(np.float32)
    return draws / draws.sum(axis=-1, keepdims=True)


EDGES = np.float32([[0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("from_logits", [False, True])
def test_cross_entropies_equal_keras(keras: Any, from_logits: bool) -> None:
    for labels, predictions in (
        (_distribution(4, 5), _draw(4, 5) if from_logits else _distribution(4, 5) * 3),
        (_distribution(2, 3), EDGES * 200 if from_logits else EDGES),
    ):
        expected = keras.ops.categorical_crossentropy(labels, predictions, from_logits)
        op = ops.CategoricalCrossentropy(from_logits)
        assert_same(_reference(op, labels, predictions), np.asarray(expected))
        classes = np.argmax(labels, axis=-1).astype(np.int32)
        expected = keras.ops.sparse_categorical_crossentropy(classes, predictions, from_logits)
        sparse = ops.SparseCategoricalCrossentropy(from_logits)
        assert_same(_reference(sparse, classes, predictions), np.asarray(expected))
        expected = keras.ops.binary_crossentropy(labels, predictions, from_logits)
        binary = ops.BinaryCrossentropy(from_logits)
        if not from_logits:
            predictions = np.minimum(predictions, 1)
            expected = keras.ops.binary_crossentropy(labels, predictions)
        assert_same(_reference(binary, labels, predictions), np.asarray(expected))


def test_labels_outside_take_no_part_as_in_keras(keras: Any) -> None:
    labels, logits = np.array([-1, 3, 1], np.int32), _draw(3, 3)
    expected = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    actual = _reference(ops.SparseCategoricalCrossentropy(True), labels, logits)
    assert_same(actual, np.asarray(expected))
    assert actual[:2].tolist() == [0, 0]


def test_threefry_with_20_rounds_equals_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_ops, "NUM_ROUNDS", 20)
    threefry_2x32 = importlib.import_module("jax.extend.random").threefry_2x32
    words = np.random.default_rng(0).integers(0, 2**32, 18, dtype=np.uint32)
    key, counter = words[:2], words[2:]
    expected = np.asarray(threefry_2x32(key, counter))
    actual = random_ops.threefry((key[:1], key[1:]), (counter[:8], counter[8:]))
    assert np.concatenate(actual).tolist() == expected.tolist()


def _uniform(key: tuple[int, int], stream: int, size: int = 100_000) -> Array:
    op = ops.RandomUniform((size,), stream)
    return _reference(op, np.array(key, np.uint32))


def test_uniform_numbers_are_uniform() -> None:
    """Moments and a chi-squared statistic of 100 bins, all within five standard deviations."""
    numbers = _uniform((1, 2), 3).astype(np.float64)
    assert 0 <= numbers.min() and numbers.max() < 1
    deviation = 5 / np.sqrt(numbers.size)
    assert abs(numbers.mean() - 1 / 2) < deviation * np.sqrt(1 / 12)
    assert abs((numbers**2).mean() - 1 / 3) < deviation * np.sqrt(4 / 45)
    counts = np.bincount((numbers * 100).astype(int), minlength=100)
    expected = numbers.size / 100
    chi_squared = np.sum((counts - expected) ** 2 / expected)
    assert abs(chi_squared - 99) < 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize("other", [((1, 3), 3), ((2, 2), 3), ((2, 1), 3), ((1, 2), 4)])
def test_keys_and_streams_are_independent(other: tuple[tuple[int, int], int]) -> None:
    first, second = _uniform((1, 2), 3), _uniform(*other)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(first.size)
    assert np.mean(first == second) < 1e-4


def test_neighbours_are_independent() -> None:
    numbers = _uniform((1, 2), 3)
    for lag in (1, 2, 64):
        correlation = np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(numbers.size)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(rate: float) -> None:
    x = np.ones(100_000, np.float32)
    y = _reference(ops.Dropout(rate, 0), x, np.array([5, 6], np.uint32))
    deviation = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(np.mean(y == 0) - rate) < 5 * deviation
    assert abs(np.mean(y, dtype=np.float64) - 1) < 5 * deviation / (1 - rate)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)
