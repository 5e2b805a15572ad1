"""Reductions along axes."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    add,
    cast,
    equal,
    greater,
    less,
    multiply,
    sqrt,
    square,
    subtract,
    where,
)
from kcompile.ops.promotion import to_float, to_tensor, to_wide_float
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

Axis = int | tuple[int, ...] | list[int] | None


def axes_of(x: TracedTensor, axis: Axis) -> tuple[int, ...]:
    """`axis` as axes counted from the front, sorted; None is all of them."""
    rank = x.type.rank
    if axis is None:
        return tuple(range(rank))
    listed = (axis,) if isinstance(axis, int) else tuple(axis)
    return tuple(sorted(normalize_axis(entry, rank) for entry in listed))


def _numbers(x: Any) -> TracedTensor:
    """x with bools as int32."""
    tensor = to_tensor(x)
    if tensor.type.dtype is DType.BOOL:
        return cast(tensor, "int32")
    return tensor


def _wide_numbers(x: Any) -> TracedTensor:
    """x with bools and integers below 32 bits as 32 bits, so that many of them add up."""
    tensor = _numbers(x)
    if tensor.type.dtype in (DType.INT8, DType.INT16):
        return cast(tensor, "int32")
    return cast(tensor, "uint32") if tensor.type.dtype in (DType.UINT8, DType.UINT16) else tensor


@public
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum along axes."""
    tensor = _wide_numbers(x)
    return emit(ir.ReduceSum(axes_of(tensor, axis), keepdims), tensor)


@public
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean along axes."""
    tensor = to_float(x)
    return emit(ir.ReduceMean(axes_of(tensor, axis), keepdims), tensor)


@public
def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The variance along axes, with divisor n; of 16 bits computed in 32."""
    tensor = to_wide_float(x)
    axes = axes_of(tensor, axis)
    deviation = subtract(tensor, emit(ir.ReduceMean(axes, True), tensor))
    variance = emit(ir.ReduceMean(axes, keepdims), square(deviation))
    return cast(variance, to_float(x).dtype)


@public
def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The standard deviation along axes, with divisor n."""
    return sqrt(var(x, axis, keepdims))


def _check_extreme(name: str, x: TracedTensor, axis: Axis, initial: Any) -> None:
    axes = axes_of(x, axis)
    if initial is None and 0 in (x.type.shape[i] for i in axes):
        raise ShapeError(
            f"ops.{name}: there are no elements along the axes {list(axes)} of {x.type}",
            hint="Pass `initial`, the result of nothing",
        )


@public
def max(x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The greatest along axes, and at least `initial`.

    Raises:
        ShapeError: there are no elements along axes, and no `initial`.
    """
    dtype = to_tensor(x).dtype
    tensor = _numbers(x)
    _check_extreme("max", tensor, axis, initial)
    result = emit(ir.ReduceMax(axes_of(tensor, axis), keepdims), tensor)
    if initial is not None:
        result = emit(ir.Maximum(), result, cast(initial, tensor.dtype))
    return cast(result, dtype)


@public
def min(x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest along axes, and at most `initial`.

    Raises:
        ShapeError: there are no elements along axes, and no `initial`.
    """
    dtype = to_tensor(x).dtype
    tensor = _numbers(x)
    _check_extreme("min", tensor, axis, initial)
    result = emit(ir.ReduceMin(axes_of(tensor, axis), keepdims), tensor)
    if initial is not None:
        result = emit(ir.Minimum(), result, cast(initial, tensor.dtype))
    return cast(result, dtype)


@public
def prod(x: Any, axis: Axis = None, keepdims: bool = False, dtype: str | None = None) -> Any:
    """The product along axes."""
    tensor = _wide_numbers(x) if dtype is None else cast(x, dtype)
    return emit(ir.ReduceProd(axes_of(tensor, axis), keepdims), tensor)


def _truth(x: Any) -> TracedTensor:
    """1 where x is not 0, else 0. int32."""
    return cast(cast(x, "bool"), "int32")


@public
def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether all along axes hold; True of nothing."""
    tensor = _truth(x)
    return cast(emit(ir.ReduceMin(axes_of(tensor, axis), keepdims), tensor), "bool")


@public
def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether any along axes holds; False of nothing."""
    tensor = _truth(x)
    # Compared, not cast: the greatest of nothing is the least number, which is none of truth.
    return greater(emit(ir.ReduceMax(axes_of(tensor, axis), keepdims), tensor), 0)


def _arg_reduction(
    kind: type[ir.Argmax] | type[ir.Argmin], x: Any, axis: int | None, keepdims: bool
) -> Any:
    tensor = _numbers(x)
    if axis is not None:
        return emit(kind(normalize_axis(axis, tensor.type.rank), keepdims), tensor)
    index = emit(kind(0), emit(ir.Reshape((tensor.type.size,)), tensor))
    return emit(ir.Reshape((1,) * tensor.type.rank), index) if keepdims else index


@public
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The first index of the greatest along axis; of the flattened x without axis. int32."""
    return _arg_reduction(ir.Argmax, x, axis, keepdims)


@public
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The first index of the smallest along axis; of the flattened x without axis. int32."""
    return _arg_reduction(ir.Argmin, x, axis, keepdims)


@public
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` along axes, without overflow."""
    tensor = to_float(x)
    axes = axes_of(tensor, axis)
    peak = emit(ir.ReduceMax(axes, True), tensor)
    finite = emit(ir.Where(), emit(ir.IsFinite(), peak), peak, multiply(peak, 0.0))
    finite = emit(ir.Where(), emit(ir.IsNan(), finite), cast(0.0, tensor.dtype), finite)
    total = emit(ir.ReduceSum(axes, True), emit(ir.Exp(), subtract(tensor, finite)))
    result = emit(ir.Add(), emit(ir.Log(), total), finite)
    if keepdims:
        return result
    return emit(ir.ReduceSum(axes, False), result)


@public
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether fewer than k of the predictions `[N, C]` are greater than the one at targets `[N]`.

    Targets in [-C, 0) are counted from the end. One outside [-C, C), or at a NaN, is not among
    them.
    """
    scores, labels = to_float(predictions), to_tensor(targets)
    num_classes = int(scores.type.shape[-1])
    labels = where(less(labels, 0), add(labels, num_classes), labels)
    one_hot = emit(ir.OneHot(num_classes, DType.BOOL), labels)
    score = max(where(one_hot, scores, float("-inf")), -1, True)
    rank = sum(greater(scores, where(equal(score, score), score, float("-inf"))), -1)
    return rank < k
