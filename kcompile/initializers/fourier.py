"""Kernels with which a convolution is a short-time Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.initializers.base import Initializer
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.ops.windows import check_window, window_values


class STFT(Initializer):
    """`window[t] * cos(-2 pi t f / F)` (or sin), t and f the first and the last axis.

    The shape is `(T, 1, F // 2 + 1)`: T samples of a frame, F the length of the transform.

    Args:
        side: `real` (cos) or `imag` (sin).
        window: its name, T values, or None for none.
        scaling: divides by the window's `density` (root of the sum of squares), by its `spectrum`
            (sum of absolute values), or not (None).
        periodic: whether the named window is periodic.

    Raises:
        SpecError: an argument is unknown.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        where = "initializer 'stft'"
        if side not in ("real", "imag"):
            raise SpecError(f"side is 'real' or 'imag', got {side!r}", where=where)
        if scaling not in (None, "density", "spectrum"):
            raise SpecError(
                f"scaling is 'density', 'spectrum' or None, got {scaling!r}", where=where
            )
        if isinstance(window, str):
            check_window(window, where)
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        length, _, num_bins = shape
        # In 32 bits, as in Keras: the phase of a component near 0 is that of its rounding.
        times, bins = np.arange(length, dtype="f"), np.arange(num_bins, dtype="f")
        angles = -2 * times[:, None] * (bins / np.float32(2 * (num_bins - 1))) * np.float32(np.pi)
        wave = np.cos if self.side == "real" else np.sin
        kernel = wave(angles)[:, None] * self._scaled_window(length)[:, None, None]
        return kernel.astype(DType.of(dtype).numpy)

    def _scaled_window(self, length: int) -> Any:
        if self.window is None:
            return np.ones(length)
        named = isinstance(self.window, str)
        values = window_values(self.window, length, self.periodic) if named else self.window
        values = np.asarray(values, np.float64)
        if values.shape != (length,):
            raise ShapeError(f"the window needs {length} values, got {list(values.shape)}")
        if self.scaling == "density":
            return values / np.sqrt(np.sum(np.square(values)))
        return values / np.sum(np.abs(values)) if self.scaling == "spectrum" else values
