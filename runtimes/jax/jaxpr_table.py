"""The table from JAX primitives to what they are in the IR; the files next to it fill it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kcompile.ir.types import TensorType

F = TypeVar("F", bound=Callable[..., Any])


class UnmappedError(Exception):
    """A primitive, or a use of one, that has no form in the IR.

    Attributes:
        primitive: its name.
    """

    def __init__(self, primitive: str) -> None:
        super().__init__(primitive)
        self.primitive = primitive


@dataclass(frozen=True)
class Equation:
    """What an importer gets to know about an equation.

    Attributes:
        primitive: its name.
        params: its parameters.
        types: of its results.
        evaluate: the results of a closed jaxpr for its inputs.
    """

    primitive: str
    params: dict[str, Any]
    types: list[TensorType]
    evaluate: Callable[[Any, Sequence[Any]], list[Any]]

    @property
    def type(self) -> TensorType:
        """The type of the first result."""
        return self.types[0]

    def require(self, condition: bool) -> None:
        """Leave the function as it is unless `condition` holds."""
        if not condition:
            raise UnmappedError(self.primitive)


#: `importer(equation, *operands)` gives a tensor, or several; operands that are known are arrays.
IMPORTERS: dict[str, Callable[..., Any]] = {}


def imports(*primitives: str) -> Callable[[F], F]:
    """Decorator: enter an importer into the table for each of `primitives`."""

    def register(importer: F) -> F:
        for primitive in primitives:
            if primitive in IMPORTERS:
                raise TypeError(f"the primitive '{primitive}' has two importers")
            IMPORTERS[primitive] = importer
        return importer

    return register
