"""The NumPy references of the ops against independent implementations: Keras and JAX."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.op import OPS, Op, evaluate, infer_types
from kcompile.ir.ops import ForeignCall
from kcompile.ir.ops import random as random_ops
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST
from kcompile.ir.types import TensorType
from tests.ops.cases import CASES, assert_same

Array = np.ndarray[Any, Any]


def test_every_op_has_a_case() -> None:
    assert {type(case.op) for case in CASES} == set(OPS.values()) - {ForeignCall}


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


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
    w = _draw(*kernel, 4 // groups, 6) / 8
    expected = keras.ops.conv(x, w, strides, padding, data_format, dilation)
    padding_attribute = "same" if padding == "same" else ((0, 0), (0, 0))
    op = ops.Conv(strides, padding_attribute, dilation, groups, data_format)
    assert_same(_reference(op, x, w), np.asarray(expected))


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


@pytest.mark.parametrize(
    ("op", "shape", "window"),
    [
        (ops.Conv((1, 2), "same", (1, 1)), (2, 0, 4, 2), (3, 3, 2, 4)),
        (ops.Conv((2, 1), "same", (1, 1), 2), (0, 4, 4, 2), (3, 3, 1, 4)),
        (ops.MaxPool((2, 3), (1, 2), "same"), (2, 0, 5, 1), None),
        (ops.AveragePool((2,), (1,), "same"), (0, 5, 1), None),
    ],
    ids=repr,
)
def test_windows_over_nothing(op: Op, shape: tuple[int, ...], window: Any) -> None:
    arrays = [np.ones(sizes, np.float32) for sizes in (shape, window) if sizes is not None]
    (expected,) = infer_types(op, tuple(map(TensorType.of, arrays)))
    assert TensorType.of(_reference(op, *arrays)) == expected


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
    (ops.HardSigmoid(), "hard_sigmoid", {}),
    (ops.HardSwish(), "hard_silu", {}),
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
    assert numbers.min() >= 0 and numbers.max() < 1
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
