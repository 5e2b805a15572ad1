"""Tensors made from sizes and numbers: ranges, matrices, grids and windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    absolute,
    add,
    cast,
    exp,
    floor,
    log,
    multiply,
    power,
    sign,
    subtract,
    where,
)
from kcompile.ops.limits import check_numbers, count_steps
from kcompile.ops.promotion import FLOATX, result_type, to_common_floats, to_tensor
from kcompile.ops.rearrangement import moveaxis
from kcompile.ops.shape import expand_dims, zeros
from kcompile.ops.tensor import SymbolicTensor
from kcompile.ops.trace import emit, require_trace


@public
def arange(start: Any, stop: Any = None, step: Any = None, dtype: str | None = None) -> Any:
    """Numbers from start (0 with one argument) up to, without, stop."""
    start, stop = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    for bound in (start, stop, step):
        if isinstance(bound, SymbolicTensor):
            raise NotImplementedError(
                "ops.arange: with tensors as bounds the shape depends on values; give numbers"
            )
    if any(isinstance(bound, Dim) for bound in (start, stop)):
        if step != 1:
            raise NotImplementedError("ops.arange: open sizes as bounds need step 1")
        numbers = emit(ir.Iota(stop - start))
        numbers = numbers if start == 0 else add(numbers, emit(ir.DimSize(start)))
        return numbers if dtype is None else cast(numbers, dtype)
    if not all(math.isfinite(bound) for bound in (start, stop, step)):
        raise SpecError(f"ops.arange needs finite numbers, got {start}, {stop} and {step}")
    kind = DType.of(dtype) if dtype else result_type(start, stop, step)
    kind = {DType.INT64: DType.INT32, DType.FLOAT64: FLOATX}.get(kind, kind) if not dtype else kind
    check_numbers(math.ceil((stop - start) / step) if step else 0)
    steps_in = kind.numpy if kind.is_integer else None  # NumPy and Keras cut the step itself then
    numbers = np.arange(start, stop, step, dtype=steps_in).astype(kind.numpy)
    return require_trace().convert(numbers, kind)


@public
def array(x: Any, dtype: str | None = None) -> Any:
    """x as a tensor."""
    tensor = to_tensor(x)
    return tensor if dtype is None else cast(tensor, dtype)


@public
def empty(shape: Sequence[Size], dtype: str | None = None) -> Any:
    """A tensor whose values do not matter: zeros."""
    return zeros(shape, dtype)


@public
def empty_like(x: Any, dtype: str | None = None) -> Any:
    """A tensor in the shape of x whose values do not matter: zeros."""
    tensor = to_tensor(x)
    return zeros(tensor.type.shape, dtype or tensor.dtype)


@public
def full_like(x: Any, fill_value: Any, dtype: str | None = None) -> Any:
    """One value everywhere, in the shape of x."""
    tensor = to_tensor(x)
    scalar = cast(fill_value, dtype or tensor.dtype)
    return emit(ir.BroadcastTo(tensor.type.shape), scalar)


@public
def eye(N: int, M: int | None = None, k: int = 0, dtype: str | None = None) -> Any:
    """Ones on the k-th diagonal of a matrix `[N, M]`."""
    check_numbers(N, N if M is None else M)
    return require_trace().convert(np.eye(N, M, k), DType.of(dtype or FLOATX))


@public
def identity(n: int, dtype: str | None = None) -> Any:
    """The unit matrix `[n, n]`."""
    return eye(n, dtype=dtype)


@public
def tri(N: int, M: int | None = None, k: int = 0, dtype: str | None = None) -> Any:
    """Ones on and below the k-th diagonal of a matrix `[N, M]`."""
    check_numbers(N, N if M is None else M)
    return require_trace().convert(np.tri(N, M, k), DType.of(dtype or FLOATX))


@public
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: str | None = None,
    axis: int = 0,
) -> Any:
    """num numbers from start to stop in equal steps, along a new axis; and the step if asked."""
    a, b = to_common_floats(start, stop)
    kind = DType.of(dtype) if dtype else a.type.dtype
    gaps = num - 1 if endpoint else num
    step = multiply(subtract(b, a), 1 / gaps if gaps > 0 else math.nan)
    check_numbers(num)
    places = np.arange(num) / max(gaps, 1)
    rank = max(a.type.rank, b.type.rank)
    column = places.astype(np.float32).reshape(num, *(1,) * rank)
    share = cast(column, a.dtype)
    points = add(multiply(a, subtract(1.0, share)), multiply(b, share))
    if kind.is_integer:
        points = floor(points)
    points = moveaxis(points, 0, normalize_axis(axis, rank + 1)) if rank else points
    points = cast(points, kind.keras_name)
    return (points, step) if retstep else points


@public
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: str | None = None,
    axis: int = 0,
) -> Any:
    """`base ** linspace(start, stop)`."""
    points = power(base, linspace(start, stop, num, endpoint, axis=axis))
    return points if dtype is None else cast(points, dtype)


@public
def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: str | None = None,
    axis: int = 0,
) -> Any:
    """num numbers from start to stop, each the one before times one factor."""
    a, b = to_common_floats(start, stop)
    points = exp(linspace(log(absolute(a)), log(absolute(b)), num, endpoint, axis=axis))
    signs = sign(a)
    points = multiply(points, expand_dims(signs, axis) if signs.type.rank else signs)
    return points if dtype is None else cast(points, dtype)


@public
def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """The coordinates of every point of a grid, from those along each axis."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing is 'xy' or 'ij', got {indexing!r}")
    vectors = [to_tensor(entry) for entry in x]
    vectors = [emit(ir.Reshape((v.type.size,)), v) for v in vectors]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    shape = tuple(vectors[i].type.shape[0] for i in order)
    grids = []
    for i, vector in enumerate(vectors):
        column: list[Size] = [1] * len(order)
        column[order.index(i)] = vector.type.shape[0]
        grids.append(emit(ir.BroadcastTo(shape), emit(ir.Reshape(tuple(column)), vector)))
    return grids


def _window(x: Any, make: Any) -> Any:
    """A window function's values as a constant of floats."""
    if isinstance(x, SymbolicTensor):
        raise NotImplementedError(
            "a window's length is a number: with a tensor the shape depends on values"
        )
    length = int(x)
    if length < 0:
        raise ShapeError(f"a window cannot have the length {length}")
    check_numbers(length)
    return require_trace().convert(make(length), FLOATX)


@public
def bartlett(x: Any) -> Any:
    """The triangular window of x points, 0 at both ends."""
    return _window(x, np.bartlett)


@public
def blackman(x: Any) -> Any:
    """The Blackman window of x points."""
    return _window(x, np.blackman)


@public
def hamming(x: Any) -> Any:
    """The Hamming window of x points."""
    return _window(x, np.hamming)


@public
def hanning(x: Any) -> Any:
    """The Hann window of x points."""
    return _window(x, np.hanning)


@public
def kaiser(x: Any, beta: float) -> Any:
    """The Kaiser window of x points."""
    return _window(x, lambda length: np.kaiser(length, beta))


@public
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the vector x in columns, the highest first unless `increasing`."""
    tensor = to_tensor(x)
    size = tensor.type.size
    count = N if N is not None else tensor.type.static_shape[0]
    count_steps(count)
    column = emit(ir.Reshape((size, 1)), tensor)
    one = emit(ir.BroadcastTo((size, 1)), cast(1, tensor.dtype))
    columns = [one]
    for _ in range(count - 1):
        columns.append(emit(ir.Multiply(), columns[-1], column))
    columns = columns[:count] if increasing else columns[:count][::-1]
    if not columns:
        return zeros((size, 0), tensor.dtype)
    return emit(ir.Concatenate(1), *columns)


@public
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The choice whose condition is the first that holds, else the default."""
    if len(condlist) != len(choicelist):
        raise ShapeError(f"{len(condlist)} conditions for {len(choicelist)} choices")
    kind = result_type(*choicelist, default).keras_name
    result = cast(default, kind)
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, cast(choice, kind), result)
    return result
