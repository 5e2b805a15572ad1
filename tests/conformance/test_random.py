"""Random numbers: the right distributions, the same with a seed, others without one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers, random
from kcompile.ir.errors import SpecError

COUNT = 20_000

#: Function, arguments, mean, variance, kurtosis's upper bound, and the range.
MOMENTS: list[tuple[str, tuple[Any, ...], float, float, tuple[float, float]]] = [
    ("uniform", (-1.0, 3.0), 1.0, 16 / 12, (-1, 3)),
    ("normal", (2.0, 0.5), 2.0, 0.25, (-math.inf, math.inf)),
    ("truncated_normal", (1.0, 2.0), 1.0, 4 * 0.7737413, (-3, 5)),
    ("randint", (-3, 7), 1.5, 99 / 12, (-3, 6)),
    ("gamma", (0.5,), 0.5, 0.5, (0, math.inf)),
    ("gamma", (3.0,), 3.0, 3.0, (0, math.inf)),
    ("beta", (0.2, 0.2), 0.5, 0.25 / 1.4, (0, 1)),
    ("beta", (2.0, 1.0), 2 / 3, 1 / 18, (0, 1)),
    ("beta", (1e-6, 1e-6), 0.5, 0.25, (0, 1)),
    ("binomial", (10, 0.3), 3.0, 2.1, (0, 10)),
]


@pytest.mark.parametrize(("name", "args", "mean", "variance", "bounds"), MOMENTS, ids=str)
def test_moments(
    name: str, args: tuple[Any, ...], mean: float, variance: float, bounds: tuple[float, float]
) -> None:
    numbers = np.asarray(getattr(random, name)((COUNT,), *args, seed=5), np.float64)
    assert bounds[0] <= numbers.min() and numbers.max() <= bounds[1]
    # Six standard errors, the variance's by the sample's own fourth moment.
    assert abs(numbers.mean() - mean) < 6 * math.sqrt(variance / COUNT)
    squares = (numbers - mean) ** 2
    assert abs(squares.mean() - variance) < 6 * squares.std() / math.sqrt(COUNT) + 1e-4


def test_classes_by_their_probabilities() -> None:
    shares = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], "f")
    with np.errstate(divide="ignore"):
        drawn = np.asarray(random.categorical(np.log(shares), COUNT, seed=2))
    assert drawn.shape == (2, COUNT) and drawn.dtype == np.int32
    found = np.bincount(drawn[0], minlength=3) / COUNT
    np.testing.assert_allclose(found, shares[0], atol=6 * 0.5 / math.sqrt(COUNT))
    assert not drawn[1].any()


def test_shuffle_keeps_elements_and_dropout_their_mean() -> None:
    x = np.arange(60).reshape(20, 3)
    shuffled = np.asarray(random.shuffle(x, seed=1))
    assert not np.array_equal(shuffled, x)
    np.testing.assert_array_equal(shuffled[np.argsort(shuffled[:, 0])], x)
    dropped = np.asarray(random.dropout(np.ones(COUNT, "f"), 0.25, seed=3))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((dropped == 0).mean() - 0.25) < 6 * math.sqrt(0.1875 / COUNT)


def test_seeds() -> None:
    first, again, other = (random.normal((9,), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(random.uniform((9,)), random.uniform((9,)))
    left, right = random.SeedGenerator(4), random.SeedGenerator(4)
    a = [np.asarray(random.uniform((5,), seed=left)) for _ in range(3)]
    b = [np.asarray(random.uniform((5,), seed=right)) for _ in range(3)]
    np.testing.assert_array_equal(a, b)
    assert len({array.tobytes() for array in a}) == 3
    assert random.SeedGenerator.from_config(left.get_config()).seed == 4


class Sampling(layers.Layer):
    """A layer of one's own that adds noise, in training and afterwards."""

    def __init__(self, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def call(self, inputs: Any) -> Any:
        return inputs + random.normal(kcompile.ops.shape(inputs), seed=self.seed)


def test_in_layers_generators_advance_and_numbers_do_not() -> None:
    x = np.zeros((4, 3), "f")
    given = layers.Input((3,))
    advancing = kcompile.Model(given, Sampling(random.SeedGenerator(3))(given))
    assert not np.array_equal(advancing(x), advancing(x))
    fixed = kcompile.Model(given, Sampling(3)(given))
    np.testing.assert_array_equal(fixed(x), fixed(x))
    np.testing.assert_array_equal(fixed(x), random.normal((4, 3), seed=3))
    dropped = kcompile.Model(given, random.dropout(given, 0.5, seed=1))
    np.testing.assert_array_equal(dropped(x + 1), random.dropout(x + 1, 0.5, seed=1))


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="2\\^24"):
        random.randint((2,), 0, 2**25)
    with pytest.raises(NotImplementedError, match="trials"):
        random.binomial((2,), 5000, 0.5)
    with pytest.raises(SpecError, match="less than"):
        random.randint((2,), 3, 3)
    with pytest.raises(SpecError, match="floating"):
        random.uniform((2,), dtype="int32")
    with pytest.raises(SpecError, match="rate"):
        random.dropout(np.ones(3, "f"), 1.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0), (1.0, 1.000001), (-2.0, 0.0)], ids=str)
@pytest.mark.parametrize("as_bound", [float, np.float32, lambda bound: np.full(1, bound, "f")])
def test_uniform_numbers_are_below_the_end(
    dtype: str, bounds: tuple[float, float], as_bound: Any
) -> None:
    low, high = bounds
    drawn = random.uniform((300_000,), as_bound(low), as_bound(high), dtype, seed=1)
    numbers = np.asarray(drawn, np.float64)
    assert low <= numbers.min() and numbers.max() < high


def test_equal_bounds_are_what_is_drawn() -> None:
    assert set(np.unique(random.uniform((9,), 5.0, 5.0, seed=1))) == {5.0}
