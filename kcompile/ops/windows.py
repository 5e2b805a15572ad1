"""Window functions by name, as NumPy arrays. Names and formulas are those of scipy.signal."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError

Array = np.ndarray[Any, Any]

#: `sum(a[k] * cos(k * t))`, t from -pi to pi.
_COSINE_SUMS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
_OTHERS = ("bartlett", "cosine")
_ALIASES = {
    "hanning": "hann",
    "han": "hann",
    "hamm": "hamming",
    "ham": "hamming",
    "black": "blackman",
    "blk": "blackman",
    "box": "boxcar",
    "ones": "boxcar",
    "rect": "boxcar",
    "rectangular": "boxcar",
    "bart": "bartlett",
    "brt": "bartlett",
    "halfcosine": "cosine",
    "nutt": "nuttall",
    "nut": "nuttall",
    "blackharr": "blackmanharris",
    "bkh": "blackmanharris",
    "flat": "flattop",
    "flt": "flattop",
}


def check_window(name: str, where: str) -> str:
    """The window's own name.

    Raises:
        SpecError: there is no such window here.
    """
    own = _ALIASES.get(name, name)
    if own not in _COSINE_SUMS and own not in _OTHERS:
        raise SpecError(
            f"there is no window '{name}'",
            where=where,
            hint=f"Use one of {', '.join([*_COSINE_SUMS, *_OTHERS])}, or pass the window's values",
        )
    return own


def window_values(name: str, length: int, periodic: bool) -> Array:
    """`length` values of a window; a periodic one leaves out the last of one value more."""
    name = check_window(name, "window")
    if length == 1:
        return np.ones(1)
    size = length + 1 if periodic else length
    if name == "bartlett":
        values = np.bartlett(size)
    elif name == "cosine":
        values = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    else:
        turns = np.linspace(-np.pi, np.pi, size)
        values = sum(
            factor * np.cos(k * turns) for k, factor in enumerate(_COSINE_SUMS[name])
        ) + np.zeros(size)
    return values[:length]
