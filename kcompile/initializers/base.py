"""What every initializer shares, and how one is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from kcompile.ir.errors import ShapeError
from kcompile.ir.types import DType
from kcompile.ops import configs


class Initializer:
    """First value of a weight. Subclasses define `__call__`."""

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """A new array of `shape` and `dtype`.

        Args:
            rng: source of randomness for an initializer that has no seed of its own.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return configs.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An initializer from what `get_config` gave."""
        return cls(**config)


def initial_value(
    initializer: Callable[..., Any],
    shape: Sequence[int],
    dtype: Any = "float32",
    *,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """What any initializer gives, ours or a plain function of `(shape, dtype)`, as a checked array.

    Raises:
        ShapeError: the array has another shape than the one asked for.
    """
    parameters = inspect.signature(initializer).parameters
    keywords = {"rng": rng} if "rng" in parameters else {}
    value = np.asarray(initializer(tuple(shape), dtype=dtype, **keywords))
    if value.shape != tuple(shape):
        name = getattr(initializer, "__name__", type(initializer).__name__)
        raise ShapeError(f"initializer '{name}' gave shape {value.shape}, asked for {tuple(shape)}")
    return value.astype(DType.of(dtype).numpy, copy=False)
