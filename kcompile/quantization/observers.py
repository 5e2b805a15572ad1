"""What is kept of a value while calibration data stream through: its range, then a histogram."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, SpecError

Array = np.ndarray[Any, Any]
METHODS = ("minmax", "percentile", "entropy", "mse")
NUM_BINS = 2048
#: Steps between the integers of u8.
NUM_STEPS = 255
#: The share of elements that "percentile" keeps inside.
PERCENTILE = 0.9999
#: How far ranges may shrink for "mse" and "entropy", and in how many steps that is tried.
SMALLEST_SHARE, NUM_SHARES = 0.2, 64


@dataclass
class RangeObserver:
    """The least and the greatest element, and the mean of each channel.

    Attributes:
        channel_axis: of the channels; None keeps no means.
        low, high: the range so far, which contains 0.
    """

    channel_axis: int | None = None
    low: float = 0.0
    high: float = 0.0
    _total: Array = field(default_factory=lambda: np.zeros(()))
    _count: int = 0

    def update(self, array: Array) -> None:
        """Take in a batch.

        Raises:
            DataError: it is not finite.
        """
        if not array.size:
            return
        low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            raise DataError("it has elements that are NaN or infinite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.channel_axis is not None:
            rows = np.moveaxis(array, self.channel_axis, -1).reshape(-1, self.num_channels(array))
            self._total = self._total + rows.sum(axis=0, dtype=np.float64)
            self._count += len(rows)

    def num_channels(self, array: Array) -> int:
        assert self.channel_axis is not None
        return int(array.shape[self.channel_axis])

    @property
    def mean(self) -> Array | None:
        """Of each channel."""
        return self._total / self._count if self._count else None


class Histogram:
    """How many elements lie in each of equal bins between `low` and `high`."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.counts = np.zeros(NUM_BINS, np.int64)

    def update(self, array: Array) -> None:
        """Take in a batch, whose elements are in the range."""
        if self.high > self.low:
            self.counts += np.histogram(array, NUM_BINS, (self.low, self.high))[0]

    @property
    def centers(self) -> Array:
        edges = np.linspace(self.low, self.high, NUM_BINS + 1)
        return (edges[1:] + edges[:-1]) / 2

    def select(self, method: str) -> tuple[float, float]:
        """The range to quantize, by a method.

        "percentile" leaves 0.01 % of the elements outside; "mse" has the least mean squared error;
        "entropy" has the least Kullback-Leibler divergence of the quantized distribution (Migacz,
        8-bit inference with TensorRT, 2017). It contains 0.
        """
        if self.high <= self.low or method == "minmax":
            return self.low, self.high
        if method == "percentile":
            return self._percentile()
        shares = np.linspace(SMALLEST_SHARE, 1.0, NUM_SHARES)
        error = self._squared_error if method == "mse" else self._divergence
        ranges = [(float(self.low * share), float(self.high * share)) for share in shares]
        return min(reversed(ranges), key=lambda ends: error(*ends))

    def _percentile(self) -> tuple[float, float]:
        shares = np.cumsum(self.counts) / self.counts.sum()
        outside = (1 - PERCENTILE) / (2 if self.low < 0 < self.high else 1)
        width = (self.high - self.low) / NUM_BINS
        low = self.low + width * int(np.searchsorted(shares, outside, side="right"))
        high = self.low + width * (int(np.searchsorted(shares, 1 - outside)) + 1)
        return (
            max(self.low, min(low, 0.0)) if self.low < 0 else 0.0,
            min(self.high, max(high, 0.0)) if self.high > 0 else 0.0,
        )

    def _squared_error(self, low: float, high: float) -> float:
        scale, zero_point = affine(low, high)
        q = np.clip(np.rint(self.centers / scale) + zero_point, 0, NUM_STEPS)
        errors = (q - zero_point) * scale - self.centers
        return float(np.sum(self.counts * errors**2))

    def _divergence(self, low: float, high: float) -> float:
        """Of the elements in the range, those outside put at its ends, from what u8 makes of it."""
        centers = self.centers
        inside = np.flatnonzero((centers >= low) & (centers <= high))
        if len(inside) < NUM_STEPS:
            return np.inf
        first, last = inside[0], inside[-1] + 1
        counts = self._counts_without_zeros()
        kept = counts[first:last]
        wanted = kept.copy()
        wanted[0] += counts[:first].sum()
        wanted[-1] += counts[last:].sum()
        level = np.arange(len(kept)) * (NUM_STEPS + 1) // len(kept)
        present = wanted > 0
        totals = np.bincount(level, kept, NUM_STEPS + 1)
        places = np.bincount(level, present, NUM_STEPS + 1)
        made = np.where(present, (totals / np.maximum(places, 1))[level], 0.0)
        p, q = wanted / wanted.sum(), made / max(made.sum(), 1.0)
        return float(np.sum(p[present] * np.log(p[present] / np.maximum(q[present], 1e-9))))

    def _counts_without_zeros(self) -> Array:
        """The counts, as if none of the elements were the 0 that relus make.

        It has an integer of its own. Spread over the bins of that integer it would seem to be lost,
        the more so the wider the range is.
        """
        counts = self.counts.astype(np.float64)
        zero = int(np.clip(-self.low / (self.high - self.low) * NUM_BINS, 0, NUM_BINS - 1))
        neighbours = [counts[i] for i in (zero - 1, zero + 1) if 0 <= i < NUM_BINS]
        counts[zero] = min(counts[zero], np.mean(neighbours))
        return counts


def affine(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of u8 for a range, which contains 0."""
    scale = np.float32((high - low) / NUM_STEPS)
    if scale < np.finfo(np.float32).tiny:
        return 1.0, 0
    return float(scale), int(np.clip(np.rint(-low / scale), 0, NUM_STEPS))


def require_method(method: str) -> None:
    """Check the name of a method.

    Raises:
        SpecError: there is none of that name.
    """
    if method not in METHODS:
        raise SpecError(f"{method!r} is no calibration", hint=f"Use one of {', '.join(METHODS)}")
