"""Functions that move, select, repeat and make elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir import dims
from kcompile.ir import ops as ir
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType, format_shape
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import cast
from kcompile.ops.promotion import FLOATX, to_common_type, to_tensor
from kcompile.ops.tensor import SymbolicTensor
from kcompile.ops.trace import emit, require_trace


def sizes(x: SymbolicTensor) -> tuple[Size, ...]:
    """The shape with symbolic sizes as they are."""
    return x.type.shape


@public
def reshape(x: Any, newshape: Sequence[Any]) -> Any:
    """x with another shape; one size may be -1 (or None), which the others determine."""
    tensor = to_tensor(x)
    return emit(ir.Reshape(complete_shape(tensor.type.size, newshape)), tensor)


def complete_shape(total: Size, shape: Sequence[Any]) -> tuple[Size, ...]:
    """`shape` with the size that is -1 or None computed from the number of elements.

    Raises:
        ShapeError: more than one size is open, or the number of elements does not divide.
    """
    known = [size for size in shape if size is not None and size != -1]
    if len(known) == len(shape):
        return tuple(known)
    if len(known) < len(shape) - 1:
        raise ShapeError(f"the shape {list(shape)} leaves more than one size open")
    product = dims.product(known)
    rest = None if product == 0 else dims.divide_exactly(total, product)
    if rest is None:
        raise ShapeError(f"{total} elements do not divide into the shape {list(shape)}")
    return tuple(rest if size is None or size == -1 else size for size in shape)


@public
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """x with its axes in another order; reversed by default."""
    tensor = to_tensor(x)
    rank = tensor.type.rank
    order = tuple(reversed(range(rank))) if axes is None else axes
    return emit(ir.Transpose(tuple(normalize_axis(axis, rank) for axis in order)), tensor)


@public
def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """x with new axes of size 1 at the positions `axis` of the result."""
    tensor = to_tensor(x)
    listed = (axis,) if isinstance(axis, int) else tuple(axis)
    rank = tensor.type.rank + len(listed)
    new = {normalize_axis(entry, rank) for entry in listed}
    old = iter(tensor.type.shape)
    return emit(ir.Reshape(tuple(1 if i in new else next(old) for i in range(rank))), tensor)


@public
def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x without its axes of size 1, or without those in `axis`."""
    tensor = to_tensor(x)
    shape = tensor.type.shape
    if axis is None:
        return emit(ir.Reshape(tuple(size for size in shape if size != 1)), tensor)
    listed = (axis,) if isinstance(axis, int) else tuple(axis)
    gone = {normalize_axis(entry, len(shape)) for entry in listed}
    for entry in gone:
        if shape[entry] != 1:
            raise ShapeError(f"cannot squeeze axis {entry} of {format_shape(shape)}: not size 1")
    return emit(ir.Reshape(tuple(size for i, size in enumerate(shape) if i not in gone)), tensor)


@public
def broadcast_to(x: Any, shape: Sequence[Size]) -> Any:
    """x repeated to a shape that it broadcasts to."""
    return emit(ir.BroadcastTo(tuple(shape)), to_tensor(x))


@public
def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """The tensors one after the other along axis."""
    tensors = to_common_type(*xs)
    return emit(ir.Concatenate(normalize_axis(axis, tensors[0].type.rank)), *tensors)


@public
def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """The tensors along a new axis."""
    return concatenate([expand_dims(entry, axis) for entry in to_common_type(*x)], axis)


@public
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements of x at `indices` along axis; of the flattened x without axis."""
    tensor, index = to_tensor(x), to_tensor(indices)
    if axis is None:
        tensor, axis = emit(ir.Reshape((tensor.type.size,)), tensor), 0
    axis = normalize_axis(axis, tensor.type.rank)
    size = tensor.type.shape[axis]
    zero = cast(0, index.dtype)
    length = emit(ir.DimSize(size, index.type.dtype))
    wrapped = emit(ir.Where(), emit(ir.Less(), index, zero), emit(ir.Add(), index, length), index)
    return emit(ir.Gather(axis), tensor, wrapped)


@public
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: str | None = None) -> Any:
    """1 at the index that x gives along a new axis, 0 elsewhere."""
    result = emit(ir.OneHot(num_classes, DType.of(dtype or FLOATX)), to_tensor(x))
    rank = result.type.rank
    axis = normalize_axis(axis, rank)
    if axis == rank - 1:
        return result
    order = [*range(axis), rank - 1, *range(axis, rank - 1)]
    return emit(ir.Transpose(tuple(order)), result)


def _filled(shape: Size | Sequence[Size], value: Any, dtype: str | None) -> Any:
    scalar = require_trace().convert(value, DType.of(dtype or FLOATX))
    sizes = (shape,) if isinstance(shape, (int, Dim)) else tuple(shape)
    return emit(ir.BroadcastTo(sizes), scalar)


@public
def zeros(shape: Sequence[Size], dtype: str | None = None) -> Any:
    """Zeros of that shape."""
    return _filled(shape, 0, dtype)


@public
def ones(shape: Sequence[Size], dtype: str | None = None) -> Any:
    """Ones of that shape."""
    return _filled(shape, 1, dtype)


@public
def full(shape: Sequence[Size], fill_value: Any, dtype: str | None = None) -> Any:
    """One value everywhere, of that shape."""
    return _filled(shape, fill_value, dtype)


@public
def zeros_like(x: Any, dtype: str | None = None) -> Any:
    """Zeros in the shape of x."""
    tensor = to_tensor(x)
    return _filled(tensor.type.shape, 0, dtype or tensor.dtype)


@public
def ones_like(x: Any, dtype: str | None = None) -> Any:
    """Ones in the shape of x."""
    tensor = to_tensor(x)
    return _filled(tensor.type.shape, 1, dtype or tensor.dtype)


def shape(x: Any) -> tuple[Size, ...]:
    """The shape of x: numbers, and symbolic sizes that `reshape` and `zeros` take."""
    return sizes(x) if isinstance(x, SymbolicTensor) else tuple(x.shape)
