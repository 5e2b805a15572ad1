"""What an op is: a frozen dataclass whose fields are its attributes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kcompile.ir.dims import Dim, Size, substitute, symbols_of
from kcompile.ir.errors import ShapeError
from kcompile.ir.types import TensorType

Array = np.ndarray[Any, Any]
Types = TensorType | tuple[TensorType, ...]
Arrays = Array | tuple[Array, ...]


class Op:
    """Base of the ops.

    A subclass is a frozen dataclass. Its fields are its attributes; `infer` is its type rule, and
    the parameter names of `infer` name its operands (one with the default `None` is optional, a
    `*` one takes any number). `reference` says in NumPy what it computes. Its docstring gives the
    equation and the shapes.
    """

    name: ClassVar[str]
    #: An op that draws random numbers, or otherwise must not be computed at compile time.
    is_foldable: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__name__.startswith("_"):
            return
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        if OPS.setdefault(cls.name, cls) is not cls:
            previous = OPS[cls.name]
            if (previous.__module__, previous.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"two ops are named '{cls.name}'")
            OPS[cls.name] = cls  # dataclass(slots=True) makes the class a second time

    def infer(self, *operands: Any) -> Types:
        """The types of the results.

        Raises:
            ShapeError: the operand types do not fit the op.
        """
        raise NotImplementedError(f"{type(self).__name__} has no type rule")

    @property
    def on_host(self) -> bool:
        """Whether the runtimes for accelerators leave it to the host, as they do with strings."""
        return False

    def reference(self, *operands: Any) -> Arrays:
        """The results, computed with NumPy. Attributes hold no symbols here (see `bind`)."""
        raise NotImplementedError(f"{type(self).__name__} has no reference")

    @functools.cached_property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols in the attributes."""
        found: set[str] = set()
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            for entry in value if isinstance(value, tuple) else (value,):
                if isinstance(entry, Dim):
                    found |= symbols_of(entry)
        return frozenset(found)

    def bind(self, env: Mapping[str, Size]) -> Op:
        """This op with the symbols in its attributes replaced."""
        if not self.symbols:
            return self
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Dim):
                changes[field.name] = substitute(value, env)
            elif isinstance(value, tuple) and any(isinstance(entry, Dim) for entry in value):
                changes[field.name] = tuple(
                    substitute(entry, env) if isinstance(entry, Dim) else entry for entry in value
                )
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    @classmethod
    @functools.cache
    def operand_names(cls) -> tuple[str, ...]:
        """Names of the operands, in order; a last one `*xs` takes any number."""
        parameters = list(inspect.signature(cls.infer).parameters.values())[1:]
        return tuple(("*" if p.kind is p.VAR_POSITIONAL else "") + p.name for p in parameters)

    @classmethod
    @functools.cache
    def num_operands(cls) -> tuple[int, int | None]:
        """The least and the greatest number of operands; None means any number."""
        parameters = list(inspect.signature(cls.infer).parameters.values())[1:]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return len(parameters) - 1, None
        return sum(p.default is p.empty for p in parameters), len(parameters)


#: Every op class by its name in the text form.
OPS: dict[str, type[Op]] = {}


def infer_types(op: Op, operands: tuple[TensorType | None, ...]) -> tuple[TensorType, ...]:
    """The types of the results of `op`, as a tuple.

    Raises:
        ShapeError: the number or the types of the operands do not fit.
    """
    least, most = op.num_operands()
    if len(operands) < least or (most is not None and len(operands) > most):
        names = ", ".join(op.operand_names())
        raise ShapeError(f"takes ({names}), got {len(operands)} operands")
    if any(operand is None for operand in operands[:least]):
        position = operands.index(None)
        raise ShapeError(f"operand {op.operand_names()[position]} is missing")
    types = op.infer(*operands)
    return types if isinstance(types, tuple) else (types,)


def evaluate(op: Op, operands: tuple[Array | None, ...]) -> tuple[Array, ...]:
    """The results of `op` on arrays, as a tuple, by its reference."""
    with np.errstate(all="ignore"):
        results = op.reference(*operands)
    return tuple(map(np.asarray, results if isinstance(results, tuple) else (results,)))


def require(condition: bool, message: str) -> None:
    """Raise a `ShapeError` with `message` unless `condition` holds."""
    if not condition:
        raise ShapeError(message)


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """`axis` counted from the front.

    Raises:
        ShapeError: it is not an axis of a tensor of that rank.
    """
    if not -rank <= axis < rank:
        raise ShapeError(f"{what} {axis} is out of range for rank {rank}")
    return axis % rank
