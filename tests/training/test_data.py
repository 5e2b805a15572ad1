"""Batches, splits and casts."""

import numpy as np
import pytest

from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError
from kcompile.ir.types import DType, TensorType
from kcompile.training import arrays, data, labels
from kcompile.training.blocks import RESPONSE_SECONDS, BlockLength, Feeder
from kcompile.training.data import Batching

ROW = TensorType(DType.FLOAT32, (symbol("batch"), 3))


@pytest.mark.parametrize(
    ("rows", "size", "steps", "batch", "full", "batches"),
    [
        (100, None, None, 32, 3, 4),
        (96, 32, None, 32, 3, 3),
        (10, 32, None, 10, 1, 1),
        (10, None, 3, 4, 2, 3),
        (1, 1, None, 1, 1, 1),
    ],
)
def test_batches(rows, size, steps, batch, full, batches):
    batching = Batching.of(rows, size, steps)
    assert (batching.batch_size, batching.num_full, batching.num_batches) == (batch, full, batches)


def test_shuffling_is_a_permutation_that_seed_and_pass_determine():
    batching = Batching(100, 10, True, seed=3)
    order = batching.order(0)
    assert sorted(order) == list(range(100))
    np.testing.assert_array_equal(order, Batching(100, 10, True, seed=3).order(0))
    assert not np.array_equal(order, batching.order(1))
    assert not np.array_equal(order, Batching(100, 10, True, seed=4).order(0))


def test_shuffling_in_batches_keeps_rows_in_their_batch():
    order = Batching(25, 10, "batch", seed=3).order(0)
    assert sorted(order[:10]) == list(range(10))
    assert sorted(order[20:]) == list(range(20, 25))
    assert list(order[:10]) != list(range(10))


def test_the_split_takes_the_last_rows():
    rows = np.arange(10)
    train, validation = data.split_validation(data.DataSet({"x": rows}, {"y": -rows}, {}), 0.25)
    np.testing.assert_array_equal(train.x["x"], rows[:7])
    np.testing.assert_array_equal(validation.y["y"], -rows[7:])


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.ones((2, 3)), "float32"),
        (np.ones((2, 3), np.int64), "float32"),
        (np.ones((2, 3), np.uint8), "uint8"),  # small ones are cast on the device
        (np.ones((2, 3), bool), "bool"),
        ([[1, 2, 3], [4, 5, 6]], "float32"),
    ],
)
def test_inputs_are_cast_at_most_to_32_bits(given, dtype):
    array = arrays.fit_to_input("x", given, ROW, {}, "fit: input")
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.astype(np.float32), np.asarray(given, np.float32))


def test_an_axis_of_size_1_is_added_or_taken_off():
    column = ROW.with_shape((ROW.shape[0], 1))
    assert arrays.fit_to_input("x", np.ones(5), column, {}, "").shape == (5, 1)
    assert arrays.fit_to_input("x", np.ones((5, 3, 1)), ROW, {}, "").shape == (5, 3)


def test_targets_keep_integers():
    assert arrays.fit_to_target(np.arange(3), "y").dtype == np.int32
    assert arrays.fit_to_target(np.ones(3), "y").dtype == np.float32
    assert arrays.fit_to_target([True, False], "y").dtype == np.int32
    with pytest.raises(DataError, match="beyond 32 bits"):
        arrays.fit_to_target(np.array([2**40]), "y")


@pytest.mark.parametrize("target", [[0, 2, 1], [[0], [2], [1]], np.eye(3)[[0, 2, 1]]])
def test_class_weights(target):
    weights = labels.class_weights(np.asarray(target), {0: 3.0, 1: 0.5})
    np.testing.assert_array_equal(weights, np.array([3.0, 1.0, 0.5], np.float32))


def test_blocks_last_about_as_long_as_they_may():
    length = BlockLength()
    counts = []
    for _ in range(8):
        count = length.next(10_000)
        counts.append(count)
        length.measured(count, 5.0 if len(counts) == 1 else count * 1e-3)
    assert counts[:4] == [1, 1, 8, 64]
    assert counts[-1] == pytest.approx(RESPONSE_SECONDS / 1e-3, rel=0.01)
    assert length.next(7) == 7


def test_slow_steps_go_one_by_one():
    length = BlockLength()
    for _ in range(4):
        assert length.next(100) == 1
        length.measured(1, 3.0)


def test_a_fixed_length_stays():
    length = BlockLength(3)
    length.measured(3, 1e-6)
    assert length.next(100) == 3
    assert length.next(2) == 2


@pytest.mark.parametrize("resident_bytes", [0, 2**30])
def test_fed_rows_are_those_of_the_order(resident_bytes):
    rows = np.arange(23)
    batching = Batching(23, 5, True, seed=1)
    feeder = Feeder({"x": rows}, batching, resident_bytes)
    assert feeder.is_resident is bool(resident_bytes)
    feeder.start_pass(4)
    arrays, indices, begin, end = feeder.many(1, 3)
    got = np.asarray(arrays["x"])[indices[begin:end]].ravel()
    np.testing.assert_array_equal(got, batching.order(4)[5:15])
    arrays, indices = feeder.one(4)
    np.testing.assert_array_equal(np.asarray(arrays["x"])[indices], batching.order(4)[20:])
