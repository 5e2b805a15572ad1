"""Element types and tensor types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np

from kcompile.ir.dims import Dim, Size, product, substitute, symbols_of
from kcompile.ir.errors import ShapeError


class DType(Enum):
    """Element type. The value is its spelling in the text form."""

    BOOL = "bool"
    INT8 = "i8"
    INT16 = "i16"
    INT32 = "i32"
    INT64 = "i64"
    UINT8 = "u8"
    UINT16 = "u16"
    UINT32 = "u32"
    UINT64 = "u64"
    FLOAT16 = "f16"
    BFLOAT16 = "bf16"
    FLOAT32 = "f32"
    FLOAT64 = "f64"
    STRING = "string"

    # Enum's own hash goes through the name in Python; members are singletons, so identity will do.
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype; strings are `object`."""
        return _TO_NUMPY[self]

    @property
    def keras_name(self) -> str:
        """The name in Keras and NumPy: `float32`, `int64`, `bool`, `string`."""
        return "string" if self is DType.STRING else str(self.numpy)

    @property
    def is_floating(self) -> bool:
        return self in (DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64)

    @property
    def is_integer(self) -> bool:
        return self.value[0] in "iu"

    @property
    def is_numeric(self) -> bool:
        return self.is_floating or self.is_integer

    @staticmethod
    def of(dtype: Any) -> DType:
        """The element type that a name, NumPy dtype or `DType` stands for.

        Raises:
            ShapeError: there is no such element type.
        """
        if isinstance(dtype, DType):
            return dtype
        if dtype in ("string", str):
            return DType.STRING
        try:
            return _FROM_NUMPY[np.dtype(dtype)]
        except (TypeError, KeyError):
            names = ", ".join(d.keras_name for d in DType)
            raise ShapeError(
                f"{dtype!r} is not an element type", hint=f"Use one of {names}"
            ) from None


_TO_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.BOOL: np.dtype(np.bool_),
    DType.INT8: np.dtype(np.int8),
    DType.INT16: np.dtype(np.int16),
    DType.INT32: np.dtype(np.int32),
    DType.INT64: np.dtype(np.int64),
    DType.UINT8: np.dtype(np.uint8),
    DType.UINT16: np.dtype(np.uint16),
    DType.UINT32: np.dtype(np.uint32),
    DType.UINT64: np.dtype(np.uint64),
    DType.FLOAT16: np.dtype(np.float16),
    DType.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    DType.FLOAT32: np.dtype(np.float32),
    DType.FLOAT64: np.dtype(np.float64),
    DType.STRING: np.dtype(object),
}
_FROM_NUMPY = {dtype: name for name, dtype in _TO_NUMPY.items()}


@dataclass(frozen=True)
class TensorType:
    """Element type and shape. Each shape entry is an `int` or a `Dim`."""

    dtype: DType
    shape: tuple[Size, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.dtype, DType):
            raise ShapeError(f"a tensor type needs a DType, got {self.dtype!r}")
        for size in self.shape:
            if isinstance(size, Dim):
                continue
            if type(size) is not int:
                raise ShapeError(f"a shape holds ints and symbolic sizes, got {size!r}")
            if size < 0:
                raise ShapeError(f"the shape {format_shape(self.shape)} has a negative size")

    def __str__(self) -> str:
        return f"{self.dtype.value}{format_shape(self.shape)}"

    @cached_property
    def _hash(self) -> int:
        return hash((self.dtype.value, self.shape))

    def __hash__(self) -> int:
        return self._hash

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """The number of elements."""
        return product(self.shape)

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols in the shape."""
        return frozenset().union(*(symbols_of(size) for size in self.shape))

    @property
    def is_static(self) -> bool:
        return all(isinstance(size, int) for size in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as ints.

        Raises:
            ShapeError: a size is symbolic.
        """
        return tuple(size if isinstance(size, int) else int(size) for size in self.shape)

    def with_shape(self, shape: Iterable[Size]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape)

    def substitute(self, env: Mapping[str, Size]) -> TensorType:
        """This type with symbols replaced."""
        return self.with_shape(substitute(size, env) for size in self.shape)

    @staticmethod
    def of(array: Any) -> TensorType:
        """The type of an array."""
        return TensorType(DType.of(array.dtype), tuple(int(size) for size in array.shape))


def format_shape(shape: Iterable[Size]) -> str:
    """`[batch,28,28,1]`."""
    return f"[{','.join(map(str, shape))}]"


class DimMismatchError(ShapeError):
    """Two sizes that have to be equal and are not known to be.

    Attributes:
        left, right: the two sizes.
    """

    def __init__(self, left: Size, right: Size, message: str) -> None:
        super().__init__(message)
        self.left = left
        self.right = right


def require_same_size(left: Size, right: Size, message: str) -> Size:
    """`left`, which has to equal `right`.

    Raises:
        DimMismatchError: with `message`, when the two differ.
    """
    if left != right:
        raise DimMismatchError(left, right, message)
    return left


def broadcast_shapes(*shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The NumPy broadcast of `shapes`; a symbolic size broadcasts against itself and 1.

    Raises:
        DimMismatchError: two sizes differ and neither is 1.
    """
    rank = max(map(len, shapes), default=0)
    result: list[Size] = [1] * rank
    for shape in shapes:
        offset = rank - len(shape)
        for axis, size in enumerate(shape, offset):
            if result[axis] == 1:
                result[axis] = size
            elif size != 1:
                listed = " and ".join(map(format_shape, shapes))
                require_same_size(result[axis], size, f"shapes {listed} do not broadcast")
    return tuple(result)


def bind_symbols(declared: TensorType, actual: tuple[int, ...], env: dict[str, int]) -> None:
    """Enter into `env` the numbers that the bare symbols of `declared` have in `actual`.

    Raises:
        DimMismatchError: rank or a size differs, or a symbol would get two numbers.
    """
    if len(actual) != declared.rank:
        raise DimMismatchError(
            declared.rank, len(actual), f"needs {declared}, got shape {format_shape(actual)}"
        )
    for size, number in zip(declared.shape, actual, strict=True):
        if isinstance(size, Dim) and size.is_symbol:
            env.setdefault(str(size), number)
    for size, number in zip(declared.shape, actual, strict=True):
        bound = substitute(size, env)
        if isinstance(bound, int) and bound != number:
            known = f" with {size} = {bound}" if isinstance(size, Dim) else ""
            raise DimMismatchError(
                size, number, f"needs {declared}{known}, got shape {format_shape(actual)}"
            )
