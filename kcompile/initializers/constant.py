"""Initializers without randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from kcompile.initializers.base import Initializer
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType


class Zeros(Initializer):
    """All zeros."""

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        return np.zeros(shape, DType.of(dtype).numpy)


class Ones(Initializer):
    """All ones."""

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        return np.ones(shape, DType.of(dtype).numpy)


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Args:
        value: number or array.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        value = np.asarray(self.value).astype(DType.of(dtype).numpy)
        try:
            return np.broadcast_to(value, tuple(shape)).copy()
        except ValueError:
            raise ShapeError(
                f"Constant holds shape {value.shape}, which does not fit {tuple(shape)}"
            ) from None

    def get_config(self) -> dict[str, Any]:
        """The value; an array becomes a nested list with its dtype."""
        if not isinstance(self.value, np.ndarray):
            return {"value": self.value}
        content = {"value": self.value.tolist(), "dtype": self.value.dtype.name}
        return {"value": {"class_name": "__numpy__", "config": content}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A constant from what `get_config` gave.

        Raises:
            SpecError: the value is neither a number, a list of numbers nor a written array.
        """
        value = config.get("value", 0.0)
        if not isinstance(value, Mapping):
            return cls(value)
        content = value.get("config")
        if value.get("class_name") != "__numpy__" or not isinstance(content, Mapping):
            raise SpecError(f"initializer 'Constant': {value!r} is not a number or an array")
        if set(content) != {"value", "dtype"}:
            raise SpecError(f"initializer 'Constant': an array needs value and dtype: {content!r}")
        return cls(np.array(content["value"], DType.of(content["dtype"]).numpy))


class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, zero elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        if len(shape) != 2:
            raise ShapeError(f"Identity makes matrices, asked for shape {tuple(shape)}")
        element = DType.of(dtype).numpy
        return np.eye(*shape, dtype=element) * element.type(self.gain)
