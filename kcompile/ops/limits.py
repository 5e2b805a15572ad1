"""What a definition may make of numbers that a file gives: bounded before it is made.

Only inside `limited` is anything bounded: what a user defines in Python may be of any size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from kcompile.ir.dims import Size
from kcompile.ir.errors import FormatError
from kcompile.ir.types import TensorType

#: The most numbers of one array that is computed from sizes: a range, a window, a matrix.
MAX_NUMBERS = 40_000_000
#: The most bytes of all constants.
MAX_CONSTANT_BYTES = 2**30
#: The most steps of a definition: ops with their operands and results, and calls of layers.
MAX_STEPS = 1_000_000
#: The call of a layer takes as long as so many.
STEPS_OF_A_LAYER = 10
#: The most elements that an op gives for one row of a batch.
MAX_ELEMENTS = 2**36
#: The longest text of a size that is no number: `3*batch+1`.
MAX_SIZE_TEXT = 1000


@dataclass
class _Rest:
    """What may still be made."""

    constant_bytes: int
    steps: int


_rest: ContextVar[_Rest | None] = ContextVar("rest", default=None)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Inside, a definition comes from a file, and what it may make is bounded.

    Raises:
        FormatError: from inside, where it is too much.
    """
    token = _rest.set(_Rest(MAX_CONSTANT_BYTES, MAX_STEPS))
    try:
        yield
    finally:
        _rest.reset(token)


def check_numbers(*shape: int) -> None:
    """Check the size of an array before it is computed.

    Raises:
        FormatError: it is too large for a definition that comes from a file.
    """
    if _rest.get() is not None and math.prod(shape) > MAX_NUMBERS:
        raise FormatError(
            f"needs a constant of {math.prod(shape)} numbers; at most {MAX_NUMBERS} are computed"
            " for a file"
        )


def count_constant(num_bytes: int) -> None:
    """Count a constant of a graph.

    Raises:
        FormatError: with it there are too many bytes for a definition that comes from a file.
    """
    rest = _rest.get()
    if rest is None:
        return
    rest.constant_bytes -= num_bytes
    if rest.constant_bytes < 0:
        raise FormatError(
            f"with it the constants have more than {MAX_CONSTANT_BYTES} bytes, which is the most"
            " for a file"
        )


def count_steps(number: int) -> None:
    """Count steps of a definition.

    Raises:
        FormatError: with them there are too many for a definition that comes from a file.
    """
    rest = _rest.get()
    if rest is None:
        return
    rest.steps -= number
    if rest.steps < 0:
        raise FormatError(f"the model takes more than {MAX_STEPS} steps, the most for a file")


def check_types(types: Iterable[TensorType]) -> None:
    """Check the sizes of tensors.

    Raises:
        FormatError: a row is too large for a definition that comes from a file.
    """
    if _rest.get() is not None:
        for type in types:
            _check_shape(type.shape)


def _check_shape(shape: tuple[Size, ...]) -> None:
    num_elements = math.prod(size or 1 for size in shape if isinstance(size, int))
    if num_elements > MAX_ELEMENTS:
        raise FormatError(
            f"a row of a result has {num_elements} elements; at most {MAX_ELEMENTS} are computed"
            " for a file"
        )
    if any(len(str(size)) > MAX_SIZE_TEXT for size in shape if not isinstance(size, int)):
        raise FormatError(f"a size needs more than {MAX_SIZE_TEXT} characters to be said")
