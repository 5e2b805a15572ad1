"""Statistics of the random numbers that dropout draws.

Bounds are 5 standard deviations, or the quantile of a chi-square that is as rare: the generator is
deterministic, so a test that passes always does.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kcompile.ir.ops import Dropout
from kcompile.ir.ops.random import hashed_bits, mix

SIZE = 2**18
LIMIT = 5.0


def _bits(seed: int = 7, step: int = 0, stream: int = 1, size: int = SIZE) -> np.ndarray:
    return hashed_bits(np.array([seed, step], np.uint32), stream, (size,))


def _uniform(**key: int) -> np.ndarray:
    return (_bits(**key) >> np.uint32(8)) * 2.0**-24


KEYS = [
    {"seed": 0, "step": 0, "stream": 0},
    {"seed": 7, "step": 3, "stream": 1},
    {"seed": 2**31, "step": 10**6, "stream": 2**32 - 1},
]


def _chi_square(counts: np.ndarray) -> float:
    """How many standard deviations the chi-square of equally likely counts is from its mean."""
    expected = counts.sum() / counts.size
    statistic = float(np.sum((counts - expected) ** 2) / expected)
    freedom = counts.size - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("key", KEYS)
def test_numbers_are_uniform(key: dict[str, int]) -> None:
    numbers = _uniform(**key)
    assert abs(numbers.mean() - 0.5) < LIMIT * np.sqrt(1 / 12 / SIZE)
    assert abs(numbers.var() - 1 / 12) < LIMIT * np.sqrt(1 / 180 / SIZE)
    assert abs(_chi_square(np.histogram(numbers, 1024, (0, 1))[0])) < LIMIT


@pytest.mark.parametrize("key", KEYS)
def test_every_bit_and_byte_is_even(key: dict[str, int]) -> None:
    words = _bits(**key)
    for bit in range(32):
        share = np.mean((words >> np.uint32(bit)) & np.uint32(1))
        assert abs(share - 0.5) < LIMIT * 0.5 / np.sqrt(SIZE), bit
    for byte in range(4):
        counts = np.bincount((words >> np.uint32(8 * byte)) & np.uint32(255), minlength=256)
        assert abs(_chi_square(counts)) < LIMIT, byte


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """In standard deviations of that of independent numbers."""
    return float(np.corrcoef(a, b)[0, 1]) * np.sqrt(len(a))


@pytest.mark.parametrize("lag", [1, 2, 3, 7, 16, 64, 128, 1024, 4096, 9216])
def test_positions_are_not_correlated(lag: int) -> None:
    """Neighbours along any axis of common shapes."""
    numbers = _uniform()
    assert abs(_correlation(numbers[:-lag], numbers[lag:])) < LIMIT
    kept = (numbers > 0.3).astype(float)
    assert abs(_correlation(kept[:-lag], kept[lag:])) < LIMIT


@pytest.mark.parametrize("changed", ["seed", "step", "stream"])
def test_steps_layers_and_seeds_are_not_correlated(changed: str) -> None:
    """Nor is one a shift of another."""
    masks = [_uniform(**{changed: number}) for number in (0, 1, 2, 3, 1000, 2**16)]
    for a, b in itertools.combinations(masks, 2):
        assert abs(_correlation(a, b)) < LIMIT
        for shift in (1, 2, 32, 1000):
            assert abs(_correlation(a[:-shift], b[shift:])) < LIMIT
            assert abs(_correlation(b[:-shift], a[shift:])) < LIMIT


def test_pairs_and_triples_fill_the_plane_and_the_cube() -> None:
    words = _bits() >> np.uint32(27)  # 32 values each
    pairs = words[:-1] * np.uint32(32) + words[1:]
    assert abs(_chi_square(np.bincount(pairs[::2], minlength=1024))) < LIMIT
    triples = (words[: SIZE // 3 * 3].reshape(-1, 3) >> np.uint32(1)).astype(np.int64) @ [
        256,
        16,
        1,
    ]
    assert abs(_chi_square(np.bincount(triples, minlength=4096))) < LIMIT


def test_runs_of_kept_elements_are_as_long_as_chance_makes_them() -> None:
    """Wald and Wolfowitz's test of the number of runs."""
    kept = _uniform() >= 0.5
    ones, zeros = int(kept.sum()), int((~kept).sum())
    runs = 1 + int(np.sum(kept[1:] != kept[:-1]))
    mean = 2 * ones * zeros / SIZE + 1
    deviation = np.sqrt((mean - 1) * (mean - 2) / (SIZE - 1))
    assert abs(runs - mean) < LIMIT * deviation


def test_a_bit_of_the_counter_changes_half_of_the_bits() -> None:
    """Avalanche, between the words of numbers that differ in one bit."""
    words = _bits(size=2**16)
    numbers = np.arange(2**15, dtype=np.uint32)
    for bit in range(15):
        changed = words[numbers] ^ words[numbers ^ np.uint32(1 << bit)]
        shares = [np.mean((changed >> np.uint32(b)) & np.uint32(1)) for b in range(32)]
        # Each pair is counted twice, so there are half as many.
        assert np.max(np.abs(np.array(shares) - 0.5)) < LIMIT * 0.5 / np.sqrt(2**14), bit


def test_no_word_comes_twice_and_no_mask_repeats() -> None:
    assert len(np.unique(_bits())) == SIZE
    keys = itertools.product(range(4), range(40), range(4))
    starts = {_bits(s, t, n, 8).tobytes() for s, t, n in keys}
    assert len(starts) == 4 * 40 * 4


def test_mix_is_a_permutation() -> None:
    """Each of its parts can be undone; here on a part of the words."""
    words = np.arange(2**20, dtype=np.uint32) * np.uint32(4099)
    assert len(np.unique(mix(words))) == len(words)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(rate: float) -> None:
    x = np.ones((64, 4096), np.float32)
    y = Dropout(rate, 5).reference(x, np.array([1, 2], np.uint32))
    deviation = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(np.mean(y != 0) - (1 - rate)) <= LIMIT * deviation
    for axis in (0, 1):
        shares = np.mean(y != 0, axis=axis)
        spread = np.sqrt(rate * (1 - rate) / x.shape[axis])
        assert np.max(np.abs(shares - (1 - rate))) <= (LIMIT + 0.5) * spread
