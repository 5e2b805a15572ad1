"""Initializers that draw random numbers.

An initializer with a seed gives the same values on every call. One without draws from the `rng`
of the call, or else from the global seed source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kcompile.initializers.base import Initializer
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.ops import seeds

# Standard deviation of a standard normal variable cut off at -2 and 2:
# sqrt(1 - 2 * 2 * density(2) / mass(-2, 2)).
_TRUNCATED_STDDEV = math.sqrt(
    1.0 - 4.0 * math.exp(-2.0) / math.sqrt(2.0 * math.pi) / math.erf(math.sqrt(2.0))
)


class RandomInitializer(Initializer):
    """Base of the random initializers. Subclasses define `draw`.

    Args:
        seed: makes every call give the same values; `None` leaves the choice to the call.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
            raise SpecError(f"{type(self).__name__}: seed must be an int or None, got {seed!r}")
        if seed is not None and seed < 0:
            raise SpecError(f"{type(self).__name__}: seed must not be negative, got {seed}")
        self.seed = None if seed is None else int(seed)

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        element = DType.of(dtype)
        if not element.is_floating:
            raise SpecError(f"{type(self).__name__} draws floats, asked for {element.keras_name}")
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
        elif rng is None:
            rng = np.random.default_rng(seeds.next_seed())
        wide = np.dtype(np.float64 if element is DType.FLOAT64 else np.float32)
        return self.draw(rng, tuple(shape), wide).astype(element.numpy, copy=False)

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> np.ndarray:
        """Values of `shape` in float32 or float64."""
        raise NotImplementedError(f"{type(self).__name__} must define draw")


class RandomNormal(RandomInitializer):
    """Normal distribution."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> np.ndarray:
        return _scaled(rng.standard_normal(shape, dtype), self.stddev, self.mean)


class TruncatedNormal(RandomInitializer):
    """Normal distribution, drawn again where a value is over two deviations from the mean."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> np.ndarray:
        return _scaled(_truncated_normal(rng, shape, dtype), self.stddev, self.mean)


class RandomUniform(RandomInitializer):
    """Uniform distribution over [minval, maxval)."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> np.ndarray:
        return _scaled(rng.random(shape, dtype), self.maxval - self.minval, self.minval)


class VarianceScaling(RandomInitializer):
    """Zero mean and variance `scale / n`, where n counts the units on one or both sides.

    Args:
        scale: positive factor.
        mode: `fan_in`, `fan_out` or `fan_avg`: what n counts.
        distribution: `truncated_normal` (or `normal`), `untruncated_normal` or `uniform`.
        input_axes, output_axes: axes whose sizes multiply to the two fans; both or neither.

    Raises:
        SpecError: an argument is out of range.
    """

    _MODES: ClassVar = ("fan_in", "fan_out", "fan_avg")
    _DISTRIBUTIONS: ClassVar = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if scale <= 0.0:
            raise SpecError(f"{type(self).__name__}: scale must be positive, got {scale}")
        if mode not in self._MODES:
            raise SpecError(f"{type(self).__name__}: mode must be in {self._MODES}, got {mode!r}")
        if distribution not in self._DISTRIBUTIONS:
            raise SpecError(
                f"{type(self).__name__}: distribution must be in {self._DISTRIBUTIONS}, "
                f"got {distribution!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def variance(self, shape: Sequence[int]) -> float:
        """Variance of the values of a weight of `shape`."""
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        units = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
        return self.scale / max(1.0, units[self.mode])

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> np.ndarray:
        stddev = math.sqrt(self.variance(shape))
        if self.distribution == "truncated_normal":
            return _scaled(_truncated_normal(rng, shape, dtype), stddev / _TRUNCATED_STDDEV)
        if self.distribution == "untruncated_normal":
            return _scaled(rng.standard_normal(shape, dtype), stddev)
        limit = math.sqrt(3.0) * stddev
        return _scaled(rng.random(shape, dtype), 2.0 * limit, -limit)


class _NamedScaling(VarianceScaling):
    """A variance scaling with a name of its own for its scale, mode and distribution."""

    _SCALING: ClassVar[tuple[float, str, str]]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._SCALING, seed, input_axes, output_axes)


class GlorotUniform(_NamedScaling):
    """Uniform, variance 2 / (fan_in + fan_out). Glorot and Bengio, 2010."""

    _SCALING = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal, variance 2 / (fan_in + fan_out). Glorot and Bengio, 2010."""

    _SCALING = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform, variance 2 / fan_in. He et al., 2015."""

    _SCALING = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal, variance 2 / fan_in. He et al., 2015."""

    _SCALING = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform, variance 1 / fan_in. LeCun et al., 1998."""

    _SCALING = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal, variance 1 / fan_in. LeCun et al., 1998."""

    _SCALING = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """A random orthogonal matrix times `gain`. Saxe et al., 2014.

    All axes but the last are the rows; with fewer rows than columns the rows are orthonormal,
    otherwise the columns are.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> np.ndarray:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal needs two or more axes, asked for shape {shape}")
        num_rows, num_columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(num_rows, num_columns), min(num_rows, num_columns))
        q, r = np.linalg.qr(rng.standard_normal(tall, dtype))
        # Fixing the signs of r's diagonal makes q uniform over the orthogonal matrices
        # (Mezzadri, 2007).
        q *= np.where(np.diag(r) < 0, -1, 1).astype(dtype)
        matrix = q if num_rows >= num_columns else q.T
        return _scaled(np.ascontiguousarray(matrix).reshape(shape), self.gain)


def compute_fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Units that feed one output, and units that one input feeds.

    Without axes given, the last two axes are input and output, and the others are a window that
    counts on both sides, as in a convolution kernel.
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        fan = math.prod(shape)
        return fan, fan
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _scaled(values: np.ndarray, factor: float, offset: float = 0.0) -> np.ndarray:
    """`values * factor + offset`, in place."""
    values *= factor
    if offset:
        values += offset
    return values


def _truncated_normal(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    """Standard normal values in [-2, 2]: those outside are drawn again until none is."""
    values = rng.standard_normal(math.prod(shape), dtype)
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        redrawn = rng.standard_normal(outside.size, dtype)
        values[outside] = redrawn
        outside = outside[np.abs(redrawn) > 2.0]
    return values.reshape(shape)
