"""Special functions, distances, patches, and axes rearranged by a pattern."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    abs,
    add,
    divide,
    exp,
    less,
    log,
    maximum,
    minimum,
    multiply,
    rsqrt,
    sqrt,
    square,
    subtract,
    where,
)
from kcompile.ops.indexing import get_item
from kcompile.ops.limits import check_numbers, count_steps
from kcompile.ops.nn import silu
from kcompile.ops.padding import pad
from kcompile.ops.promotion import to_common_type, to_float, to_tensor
from kcompile.ops.rearrangement import moveaxis
from kcompile.ops.reduction import mean, sum
from kcompile.ops.scatter import segment_sum
from kcompile.ops.shape import expand_dims, reshape, stack, transpose

# Abramowitz and Stegun, 9.8.1 and 9.8.2: errors below 2e-7.
_I0_SMALL = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)
_I0_LARGE = (
    *(0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281),
    *(-0.02057706, 0.02635537, -0.01647633, 0.00392377),
)
# Press et al., Numerical Recipes, erfcc: relative error below 1.2e-7.
_ERFC = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """`sum(coefficients[k] * x^k)`."""
    y: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        y = add(multiply(y, x), coefficient)
    return y


@public
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind and order 0."""
    size = abs(to_float(x))
    small = _polynomial(_I0_SMALL, square(divide(minimum(size, 3.75), 3.75)))
    large = maximum(size, 3.75)
    tail = multiply(_polynomial(_I0_LARGE, divide(3.75, large)), multiply(exp(large), rsqrt(large)))
    return where(less(size, 3.75), small, tail)


@public
def erfc(x: Any) -> Any:
    """`1 - erf(x)`, exact also where erf(x) is nearly 1."""
    tensor = to_float(x)
    size = abs(tensor)
    t = divide(1.0, add(1.0, multiply(0.5, size)))
    tail = multiply(t, exp(subtract(_polynomial(_ERFC, t), square(size))))
    return where(less(tensor, 0), subtract(2.0, tail), tail)


@public
def swish(x: Any) -> Any:
    """`x * sigmoid(x)`: `silu` under its other name."""
    return silu(x)


@public
def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross product of vectors of 2 or 3 elements; of two of 2 only its last element."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = to_common_type(x1, x2)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    sizes = {a.type.shape[-1], b.type.shape[-1]}
    if not sizes <= {2, 3}:
        raise ShapeError(f"ops.cross needs vectors of 2 or 3 elements, got {a.type} and {b.type}")
    p, q = ([get_item(v, (..., i)) for i in range(v.shape[-1])] for v in (a, b))
    if sizes == {2}:
        return subtract(multiply(p[0], q[1]), multiply(p[1], q[0]))
    p, q = ([*v, multiply(v[0], 0)] if len(v) == 2 else v for v in (p, q))
    elements = [
        subtract(multiply(p[i], q[j]), multiply(p[j], q[i])) for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    return moveaxis(stack(elements, -1), -1, axisc)


@public
def cdist(x: Any, y: Any) -> Any:
    """Euclidean distances `[..., M, N]` of the rows of x `[..., M, D]` from those of y."""
    a, b = to_common_type(to_float(x), to_float(y))
    if a.type.rank < 2 or b.type.rank < 2 or a.type.shape[-1] != b.type.shape[-1]:
        raise ShapeError(f"ops.cdist needs rows of one length, got {a.type} and {b.type}")
    return sqrt(sum(square(subtract(expand_dims(a, -2), expand_dims(b, -3))), -1))


@public
def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """`20 log10(max_val) - 10 log10(mean((x1 - x2)^2))`, the peak signal-to-noise ratio in dB."""
    a, b = to_common_type(to_float(x1), to_float(x2))
    if a.type.shape != b.type.shape:
        raise ShapeError(f"ops.psnr compares signals of one shape, got {a.type} and {b.type}")
    error = log(mean(square(subtract(a, b))))
    return subtract(20 * math.log10(max_val), multiply(error, 10 / math.log(10)))


def _two(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


@public
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Patches `[N, C * kernel, L]` of images `[N, C, H, W]`."""
    kernel, gap, border, step = map(_two, (kernel_size, dilation, padding, stride))
    x = pad(to_tensor(x), ((0, 0), (0, 0), (border[0],) * 2, (border[1],) * 2))
    batch, channels = x.type.shape[:2]
    counts = [
        (_static(size) - gap[i] * (kernel[i] - 1) - 1) // step[i] + 1
        for i, size in enumerate(x.type.shape[2:])
    ]
    if min(counts) < 1:
        raise ShapeError(f"ops.unfold: patches of {kernel} do not fit into {x.type}")
    count_steps(math.prod(kernel))
    patches = []
    for offsets in np.ndindex(*kernel):
        starts = [offset * gap[i] for i, offset in enumerate(offsets)]
        rows, columns = (
            slice(start, start + step[i] * (counts[i] - 1) + 1, step[i])
            for i, start in enumerate(starts)
        )
        patches.append(get_item(x, (slice(None), slice(None), rows, columns)))
    together = stack(patches, 2)
    return reshape(together, (batch, channels * len(patches), counts[0] * counts[1]))


@public
def fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Images `[N, C, H, W]` that patches `[N, C * kernel, L]` add up to."""
    tensor = to_tensor(x)
    size, kernel, gap, border, step = map(
        _two, (output_size, kernel_size, dilation, padding, stride)
    )
    whole = [size[i] + 2 * border[i] for i in (0, 1)]
    counts = [(whole[i] - gap[i] * (kernel[i] - 1) - 1) // step[i] + 1 for i in (0, 1)]
    batch, rows, length = tensor.type.shape
    channels = _static(rows) // (kernel[0] * kernel[1])
    if length != counts[0] * counts[1] or rows != channels * kernel[0] * kernel[1]:
        raise ShapeError(f"ops.fold: {counts} patches of {kernel} do not make up {tensor.type}")
    check_numbers(*counts, *kernel)
    # Where each row and column of each patch lies, [kernel, patch] along both axes.
    lines, columns = (
        np.arange(kernel[i])[:, None] * gap[i] + np.arange(counts[i]) * step[i] for i in (0, 1)
    )
    places = lines[:, None, :, None] * whole[1] + columns[None, :, None, :]
    elements = reshape(tensor, (batch, channels, places.size))
    sums = segment_sum(moveaxis(elements, -1, 0), places.reshape(-1).astype("i4"), math.prod(whole))
    image = reshape(moveaxis(sums, 0, -1), (batch, channels, *whole))
    kept = [slice(border[i], border[i] + size[i]) for i in (0, 1)]
    return get_item(image, (slice(None), slice(None), *kept))


def _static(size: Size) -> int:
    if not isinstance(size, int):
        raise ShapeError(f"the sizes of patches are numbers, got {size}")
    return size


@public
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """The axes in another order, joined and split as in einops: `b (h k) c -> b h (k c)`.

    Args:
        tensor: the axes that the left side names.
        pattern: names of axes; those in brackets make one axis together.
        **axes_lengths: of axes in brackets on the left side; one of each pair may be left out.

    Raises:
        SpecError: the two sides do not name the same axes.
        ShapeError: the left side does not fit the tensor.
    """
    x = to_tensor(tensor)
    before, arrow, after = pattern.partition("->")
    left, right = _groups(before), _groups(after)
    names = [name for group in left for name in group]
    wanted = [name for group in right for name in group]
    if not arrow or sorted(names) != sorted(wanted) or len(set(names)) < len(names):
        raise SpecError(f"ops.rearrange: both sides of {pattern!r} name the same axes, once each")
    if len(left) != x.type.rank:
        raise ShapeError(f"ops.rearrange: {pattern!r} has {len(left)} axes, and it is {x.type}")
    lengths: dict[str, Size] = {}
    for group, size in zip(left, x.type.shape, strict=True):
        open_names = [name for name in group if name not in axes_lengths]
        known = math.prod(axes_lengths[name] for name in group if name in axes_lengths)
        lengths |= {name: axes_lengths[name] for name in group if name in axes_lengths}
        if len(open_names) > 1:
            raise SpecError(f"ops.rearrange: give the lengths of {open_names[1:]}")
        rest = size // known
        if rest * known != size or (not open_names and rest != 1):
            raise ShapeError(f"ops.rearrange: {size} does not divide into {' '.join(group)}")
        lengths |= dict.fromkeys(open_names, rest)
    x = reshape(x, [lengths[name] for name in names])
    x = transpose(x, [names.index(name) for name in wanted])
    shape: list[Size] = []
    for group in right:
        size = 1
        for name in group:
            size = lengths[name] * size
        shape.append(size)
    return reshape(x, shape)


def _groups(side: str) -> list[list[str]]:
    """`a (b c)` as `[[a], [b, c]]`."""
    return [re.findall(r"\w+", part) for part in re.findall(r"\([^)]*\)|\w+", side)]
