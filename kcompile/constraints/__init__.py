"""Constraints: functions of a weight that give it its value after each update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ops import configs

#: Added to norms, so that weights of zeros stay zeros.
_EPSILON = 1e-7


class Constraint:
    """A function from a weight to the weight of the same shape that takes its place."""

    def __call__(self, w: Any) -> Any:
        return w

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


class MaxNorm(Constraint):
    """Norms along `axis` of at most `max_value`."""

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0, self.max_value) / (_EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """`max(w, 0)`."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0)


class UnitNorm(Constraint):
    """Norms along `axis` of 1."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return w / (_EPSILON + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Norms along `axis` between two bounds.

    A norm n becomes `(1 - rate) * n + rate * clip(n, min_value, max_value)`.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        within = ops.clip(norms, self.min_value, self.max_value)
        desired = self.rate * within + (1 - self.rate) * norms
        return w * (desired / (_EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


def _norms(w: Any, axis: int | Sequence[int]) -> Any:
    """Euclidean norms along `axis`, which is kept with size 1."""
    axes = axis if isinstance(axis, int) else tuple(axis)
    return ops.sqrt(ops.sum(ops.square(w), axis=axes, keepdims=True))


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

_CLASSES = {cls.__name__: cls for cls in (Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm)}
_FUNCTIONS: dict[str, Any] = {
    "constraint": Constraint,
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
    **_CLASSES,
}


def get(identifier: Any) -> Any:
    """The constraint that a name, config, class, instance or function stands for; None for None.

    Raises:
        SpecError: there is no such constraint.
    """
    if isinstance(identifier, type) and issubclass(identifier, Constraint):
        return identifier()
    if identifier is None or callable(identifier):
        return identifier
    if isinstance(identifier, str) and identifier in _FUNCTIONS:
        return _FUNCTIONS[identifier]()
    if isinstance(identifier, Mapping):
        name, arguments = configs.open_envelope(identifier, "constraint")
        cls = configs.find_class(name, _CLASSES, "constraint")
        return configs.construct(cls, arguments, "constraint")
    raise SpecError(
        f"{identifier!r} is not a constraint",
        hint=f"Use one of {', '.join(_FUNCTIONS)}, or a function of a weight",
    )


def serialize(constraint: Any) -> dict[str, Any]:
    """The config that `get` reads back."""
    return configs.serialize(constraint, "keras.constraints", _CLASSES)


deserialize = get
