"""Values of arrays and images between their elements, and warps of images made with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from kcompile.ir import dims
from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    absolute,
    cast,
    clip,
    floor,
    greater_equal,
    less,
    logical_and,
    maximum,
    minimum,
    mod,
    sign,
    sin,
    where,
)
from kcompile.ops.image.layout import on_batch
from kcompile.ops.promotion import FLOATX, promote, to_tensor
from kcompile.ops.reduction import sum as sum_of
from kcompile.ops.shape import expand_dims, reshape
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

NEAREST = "nearest"
#: Order of interpolation by name.
ORDERS = {NEAREST: 0, "bilinear": 1}
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
#: Coordinates further out than this stand for this: they fit in an int32 with room to add.
_FAR = 2.0**29


def check_sampling(interpolation: str, fill_mode: str = "constant") -> None:
    """Check the names of an interpolation and of a fill mode.

    Raises:
        SpecError: there is no such.
    """
    if interpolation not in ORDERS:
        raise SpecError(f"interpolation is one of {', '.join(ORDERS)}, not {interpolation!r}")
    if fill_mode not in FILL_MODES:
        raise SpecError(f"fill_mode is one of {', '.join(FILL_MODES)}, not {fill_mode!r}")


def _number(size: Size) -> Any:
    return size if isinstance(size, int) else emit(ir.DimSize(size))


def _round(x: Any) -> Any:
    """x to the nearest whole number, halves away from zero."""
    whole = sign(x) * floor(absolute(x))
    return whole + where(absolute(x - whole) >= 0.5, sign(x), 0.0)


def _within(index: Any, size: Size, mode: str) -> Any:
    """The index of an element of the axis for an index anywhere."""
    length = _number(size)
    if mode == "wrap":
        return mod(index, length)
    if mode == "mirror":  # c b | a b c | b a: the edges stand once
        last = 2 * (length - 1)
        place = mod(index, max(last, 1) if isinstance(last, int) else clip(last, 1, 2**30))
        return minimum(place, last - place)
    if mode == "reflect":  # b a | a b c | c b: the edges stand twice
        place = mod(index, 2 * length)
        return minimum(place, 2 * length - 1 - place)
    return minimum(clip(index, 0, 2**30), length - 1)


def _neighbours(coordinate: Any, order: int) -> list[tuple[Any, Any]]:
    """The indices around a coordinate, each with its weight; None for a weight of 1."""
    place = clip(coordinate, -_FAR, _FAR)
    if order == 0:
        return [(cast(_round(place), "int32"), None)]
    below = floor(place)
    share = place - below
    index = cast(below, "int32")
    return [(index, 1 - share), (index + 1, share)]


def interpolate(
    rows: TracedTensor,
    sizes: Sequence[Size],
    coordinates: Sequence[Any],
    order: int,
    fill_mode: str,
    fill_value: float,
    first_row: Any = None,
) -> Any:
    """`[S..., C]`: rows `[P, C]` at coordinates, each `[S...]`, in a grid of `sizes`.

    Args:
        first_row: the row at which the grid of a coordinate begins; 0 by default.
    """
    neighbours = [_neighbours(coordinate, order) for coordinate in coordinates]
    dtype = rows.type.dtype
    compute = promote(dtype, FLOATX)
    total: Any = 0
    for corner in itertools.product(*neighbours):
        row, weight, inside = first_row, None, None
        for axis, (index, share) in enumerate(corner):
            stride = _number(dims.product(sizes[axis + 1 :]))
            part = _within(index, sizes[axis], fill_mode) * stride
            row = part if row is None else row + part
            if fill_mode == "constant":
                here = logical_and(greater_equal(index, 0), less(index, _number(sizes[axis])))
                inside = here if inside is None else logical_and(inside, here)
            if share is not None:
                weight = share if weight is None else weight * share
        value = emit(ir.Gather(0), rows, row)
        if inside is not None:
            value = where(expand_dims(inside, -1), value, cast(fill_value, dtype.keras_name))
        if weight is not None:
            value = expand_dims(weight, -1) * cast(value, compute.keras_name)
        total = value if order == 0 else total + value
    if order and dtype.is_integer:
        total = _round(total)
    return cast(total, dtype.keras_name)


@public
def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0.0
) -> Any:
    """`y[s] = x(coordinates[:, s])`, x between its elements by interpolation of order 0 or 1.

    Args:
        inputs: an array of rank r.
        coordinates: `[r, S...]`, S of one axis or more.
        order: 0 for the nearest element, halves away from zero; 1 for linear interpolation.
        fill_mode, fill_value: what lies outside the array.
    """
    x = to_tensor(inputs)
    if isinstance(coordinates, (list, tuple)):
        places = [to_tensor(entry) for entry in coordinates]
    else:
        grid = to_tensor(coordinates)
        if grid.type.static_shape[:1] != (x.type.rank,):
            raise ShapeError(
                f"needs coordinates [{x.type.rank}, S...] for {x.type}, got {grid.type}"
            )
        places = [grid[axis] for axis in range(x.type.rank)]
    if len(places) != x.type.rank or not all(place.type.rank for place in places):
        raise ShapeError(
            f"needs coordinates [{x.type.rank}, S...] for {x.type}, got {len(places)} of rank"
            f" {[place.type.rank for place in places]}"
        )
    if order not in (0, 1):
        raise SpecError(f"order is 0 or 1, not {order!r}")
    check_sampling(NEAREST, fill_mode)
    rows = reshape(x, (x.type.size, 1))
    floats = [cast(place, promote(place.type.dtype, FLOATX).keras_name) for place in places]
    y = interpolate(rows, x.type.shape, floats, order, fill_mode, fill_value)
    return reshape(y, y.type.shape[:-1])


def grid_of(x: TracedTensor) -> tuple[Any, Any]:
    """The rows `[H, 1]` and columns `[1, W]` of images `[N, H, W, C]`, f32."""
    _, height, width, _ = x.type.shape
    rows = emit(ir.Iota(height, DType.FLOAT32))
    columns = emit(ir.Iota(width, DType.FLOAT32))
    return expand_dims(rows, 1), expand_dims(columns, 0)


def sample_images(
    x: TracedTensor, y_place: Any, x_place: Any, interpolation: str, mode: str, value: float
) -> Any:
    """Images `[N, H, W, C]` at places `[N, H', W']`, or `[1, H', W']` for the same in each."""
    batch, height, width, channels = x.type.shape
    rows = reshape(x, (batch * height * width, channels))
    first = emit(ir.Iota(batch)) * _number(height * width)
    first = reshape(first, (batch, 1, 1))
    return interpolate(
        rows, (height, width), (y_place, x_place), ORDERS[interpolation], mode, value, first
    )


def warp(
    x: TracedTensor, matrix: Sequence[Any], interpolation: str, mode: str, value: float
) -> Any:
    """Images `[N, H, W, C]` whose place (x, y) is (a0 x + a1 y + a2, b0 x + b1 y + b2) in x.

    Args:
        matrix: a0, a1, a2, b0, b1, b2, and possibly c0, c1: then both are divided by
            `c0 x + c1 y + 1`. Each is a number or one for each image, `[N]`.
    """
    rows, columns = grid_of(x)
    a0, a1, a2, b0, b1, b2, *rest = (_per_image(entry) for entry in matrix)
    y_place = rows * b1 + columns * b0 + b2
    x_place = rows * a1 + columns * a0 + a2
    if rest:
        scale = columns * rest[0] + rows * rest[1] + 1.0
        y_place, x_place = y_place / scale, x_place / scale
    return sample_images(x, y_place, x_place, interpolation, mode, value)


def _per_image(value: Any) -> Any:
    return reshape(value, (-1, 1, 1)) if isinstance(value, TracedTensor) else value


@public
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images whose place (x, y) is ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k) in `images`.

    `k = c0 x + c1 y + 1`.

    Args:
        transform: `[8]` or `[N, 8]`: a0, a1, a2, b0, b1, b2, c0, c1.
        fill_mode, fill_value: what lies outside an image.
    """
    check_sampling(interpolation, fill_mode)
    matrix = cast(to_tensor(transform), "float32")
    if matrix.type.rank not in (1, 2) or matrix.type.shape[-1] != 8:
        raise ShapeError(f"needs a transform [8] or [N, 8], got {matrix.type}")
    if matrix.type.rank == 1:
        matrix = expand_dims(matrix, 0)
    entries = [matrix[:, i] for i in range(8)]
    return on_batch(
        lambda x: warp(x, entries, interpolation, fill_mode, fill_value),
        to_tensor(images),
        data_format,
    )


def _determinant(a: Any, b: Any, c: Any) -> Any:
    """Of the rows (x, y, 1) of three points, times two areas of their triangle."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])


def _frame(points: TracedTensor) -> list[list[Any]]:
    """The 3x3 matrix that takes the projective frame e0, e1, e2, e0 + e1 + e2 to four points.

    Its columns are the first three points, each scaled so that their sum is a multiple of the
    fourth. (Heckbert, "Fundamentals of texture mapping and image warping", 1989)
    """
    p = [(points[:, i, 0], points[:, i, 1]) for i in range(4)]
    scales = (
        _determinant(p[3], p[1], p[2]),
        _determinant(p[0], p[3], p[2]),
        _determinant(p[0], p[1], p[3]),
    )
    columns = [(scale * q[0], scale * q[1], scale) for scale, q in zip(scales, p, strict=False)]
    return [[columns[j][i] for j in range(3)] for i in range(3)]


def _adjugate(m: list[list[Any]]) -> list[list[Any]]:
    """The inverse of a 3x3 matrix times its determinant."""

    def minor(i: int, j: int) -> Any:
        r, s = (i + 1) % 3, (i + 2) % 3
        c, d = (j + 1) % 3, (j + 2) % 3
        return m[r][c] * m[s][d] - m[r][d] * m[s][c]

    return [[minor(j, i) for j in range(3)] for i in range(3)]


@public
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images in which what lay at four start points lies at four end points.

    Args:
        start_points, end_points: (x, y) each, `[4, 2]` or `[N, 4, 2]`.
        fill_value: what lies outside an image.
    """
    check_sampling(interpolation)
    start, end = (cast(to_tensor(points), "float32") for points in (start_points, end_points))
    if start.type.shape[-2:] != (4, 2) or start.type.rank not in (2, 3) or start.type != end.type:
        raise ShapeError(
            f"needs start and end points [4, 2] or [N, 4, 2], got {start.type} and {end.type}"
        )
    if start.type.rank == 2:
        start, end = expand_dims(start, 0), expand_dims(end, 0)
    to_start, from_end = _frame(start), _adjugate(_frame(end))
    entries = [
        sum_of_products(to_start[i], [row[j] for row in from_end])
        for i in range(3)
        for j in range(3)
    ]
    matrix = [entry / entries[8] for entry in entries[:8]]
    return on_batch(
        lambda x: warp(x, matrix, interpolation, "constant", fill_value),
        to_tensor(images),
        data_format,
    )


def sum_of_products(left: Sequence[Any], right: Sequence[Any]) -> Any:
    """`left[0] * right[0] + left[1] * right[1] + ...`."""
    first, *others = (a * b for a, b in zip(left, right, strict=True))
    for other in others:
        first = first + other
    return first


@public
def scale_and_translate(
    images: Any,
    output_shape: Sequence[Size],
    scale: Any,
    translation: Any,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Any:
    """x of another shape, whose place p along a spatial axis is `(p - translation) / scale` in x.

    Places count from the edge of the first element. What lies outside x is 0.

    Args:
        scale, translation: a number for each of `spatial_dims`.
        method: linear, cubic, lanczos3, lanczos5; the names with bi and tri mean the same.
        antialias: widens the kernel where x shrinks.
    """
    kernel = method.removeprefix("bi").removeprefix("tri")
    if kernel not in _KERNELS:
        raise SpecError(f"method is one of {', '.join(_KERNELS)}, not {method!r}")
    y = to_tensor(images)
    y = y if y.type.dtype.is_floating else cast(y, FLOATX.keras_name)
    scales, shifts = (cast(to_tensor(value), "float32") for value in (scale, translation))
    for i, axis in enumerate(spatial_dims):
        axis = axis % y.type.rank
        size, new_size = y.type.static_shape[axis], output_shape[axis]
        if not isinstance(new_size, int):
            raise ShapeError(f"needs a new size that is a number, got {new_size}")
        weights = _kernel_weights(kernel, size, new_size, scales[i], shifts[i], antialias)
        order = [a for a in range(y.type.rank) if a != axis] + [axis]
        moved = emit(ir.Transpose(tuple(order)), y)
        moved = emit(ir.Matmul(), moved, cast(weights, y.dtype))
        y = emit(ir.Transpose(tuple(order.index(a) for a in range(y.type.rank))), moved)
    if tuple(y.type.shape) != tuple(output_shape):
        raise ShapeError(f"gives the shape {y.type.shape}, not {tuple(output_shape)}")
    return y


def _triangle(x: Any) -> Any:
    return clip(1 - x, 0.0, 1.0)


def _cubic(x: Any) -> Any:
    """The kernel of Keys, 1981, with a = -0.5."""
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return where(x < 1, near, where(x < 2, far, 0.0))


def _lanczos(x: Any, radius: int) -> Any:
    product = radius * sin(math.pi * x) * sin(math.pi * x / radius)
    square = (math.pi * x) * (math.pi * x)
    y = where(x > 1e-3, product / where(x > 1e-3, square, 1.0), 1.0)
    return where(x > radius, 0.0, y)


_KERNELS: dict[str, Any] = {
    "linear": _triangle,
    "cubic": _cubic,
    "lanczos3": lambda x: _lanczos(x, 3),
    "lanczos5": lambda x: _lanczos(x, 5),
}


def _kernel_weights(
    kernel: str, size: int, new_size: int, scale: Any, shift: Any, antialias: bool
) -> Any:
    """`[size, new_size]`: what each element of the old axis adds to each of the new one."""
    inverse = 1.0 / scale
    width = maximum(inverse, 1.0) if antialias else 1.0
    new = emit(ir.Iota(new_size, DType.FLOAT32)) + 0.5
    place = expand_dims(new * inverse - shift * inverse - 0.5, 0)
    old = expand_dims(emit(ir.Iota(size, DType.FLOAT32)), 1)
    weights = _KERNELS[kernel](absolute(place - old) / width)
    total = sum_of(weights, 0, keepdims=True)
    # A total near 0 means that no element is near.
    near = absolute(total) > 1000.0 * 2.0**-23
    weights = where(near, weights / where(near, total, 1.0), 0.0)
    inside = logical_and(place >= -0.5, place <= size - 0.5)
    return where(inside, weights, 0.0)
