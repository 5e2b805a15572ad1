"""Regularizers: functions of a weight that are added to the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ops import configs


class Regularizer:
    """A function from a weight to a scalar that is added to the loss."""

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __call__")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x ** 2)`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = float(l1 or 0.0)
        self.l2 = float(l2 or 0.0)

    def __call__(self, x: Any) -> Any:
        penalty: Any = 0.0
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return ops.convert_to_tensor(penalty)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """`l1 * sum(|x|)`."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(L1L2):
    """`l2 * sum(x ** 2)`."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean of `|cosine|` of the angles between rows (or columns) of a matrix.

    Raises:
        SpecError: an argument is out of range.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if not isinstance(factor, (int, float)) or not 0 <= factor < float("inf"):
            raise SpecError(f"orthogonal_regularizer: factor is not negative, got {factor!r}")
        if mode not in ("rows", "columns"):
            raise SpecError(f"orthogonal_regularizer: mode is 'rows' or 'columns', got {mode!r}")
        self.factor = float(factor)
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        if len(x.shape) != 2:
            raise ShapeError(f"orthogonal_regularizer: the weight is a matrix, got {list(x.shape)}")
        rows = ops.normalize(x if self.mode == "rows" else ops.transpose(x), 1)
        size = rows.shape[0]
        cosines = ops.matmul(rows, ops.transpose(rows)) * (1.0 - ops.eye(size, dtype=rows.dtype))
        num_pairs = size * (size - 1.0) / 2.0
        return self.factor * 0.5 * ops.sum(ops.absolute(cosines)) / num_pairs

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


l1, l2, orthogonal_regularizer = L1, L2, OrthogonalRegularizer


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """`l1 * sum(|x|) + l2 * sum(x ** 2)`, both 0.01 by default."""
    return L1L2(l1, l2)


_CLASSES = {cls.__name__: cls for cls in (L1, L2, L1L2, OrthogonalRegularizer)}
_FUNCTIONS: dict[str, Any] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": l1_l2,
    "orthogonal_regularizer": OrthogonalRegularizer,
    **_CLASSES,
}


def get(identifier: Any) -> Any:
    """The regularizer that a name, config, instance or function stands for; None for None.

    Raises:
        SpecError: there is no such regularizer.
    """
    if identifier is None or callable(identifier):
        return identifier
    if isinstance(identifier, str) and identifier in _FUNCTIONS:
        return _FUNCTIONS[identifier]()
    if isinstance(identifier, Mapping):
        name, arguments = configs.open_envelope(identifier, "regularizer")
        cls = configs.find_class(name, _CLASSES, "regularizer")
        return configs.construct(cls, arguments, "regularizer")
    raise SpecError(
        f"{identifier!r} is not a regularizer",
        hint=f"Use one of {', '.join(_FUNCTIONS)}, or a function of a weight",
    )


def serialize(regularizer: Any) -> dict[str, Any]:
    """The config that `get` reads back."""
    return configs.serialize(regularizer, "keras.regularizers", _CLASSES)


deserialize = get
