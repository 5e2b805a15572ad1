"""Fourier transforms, of pairs (real part, imaginary part): there are no complex element types.

They are products with matrices of sines and cosines, exact to rounding, for any length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import add, divide, greater, multiply, square, subtract, where
from kcompile.ops.limits import check_numbers
from kcompile.ops.linear import matmul
from kcompile.ops.nn import conv
from kcompile.ops.padding import pad
from kcompile.ops.promotion import to_float, to_tensor
from kcompile.ops.rearrangement import moveaxis, slice_axis, swapaxes, tile
from kcompile.ops.scatter import segment_sum
from kcompile.ops.shape import expand_dims, reshape
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace
from kcompile.ops.windows import window_values

Pair = tuple[Any, Any]


def _turns(rows: int, columns: int, length: int) -> tuple[Any, Any]:
    """`cos(2 pi r c / length)` and `sin(...)`, `[rows, columns]`, in 64 bits."""
    check_numbers(rows, columns)
    # The product is taken modulo the length first, which keeps angles small and so exact.
    angles = np.outer(np.arange(rows), np.arange(columns)) % length * (2 * np.pi / length)
    return np.cos(angles), np.sin(angles)


def _pair(x: Any) -> tuple[TracedTensor, TracedTensor]:
    """Real and imaginary part.

    Raises:
        ShapeError: x is no pair, or the parts differ in shape.
    """
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ShapeError("a Fourier transform takes a tuple (real part, imaginary part)")
    real, imag = to_float(x[0]), to_float(x[1])
    if real.type.shape != imag.type.shape:
        raise ShapeError(f"real and imaginary part differ: {real.type} and {imag.type}")
    return real, imag


def _length(x: TracedTensor, axis: int = -1) -> int:
    size = x.type.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(f"the length of a Fourier transform is a number, got {x.type}")
    return size


def _transform(x: Pair, inverse: bool) -> Pair:
    """Along the last axis."""
    real, imag = x
    length = _length(real)
    cos, sin = (matrix.astype(real.type.dtype.numpy) for matrix in _turns(length, length, length))
    if inverse:
        cos, sin = cos / length, -sin / length
    return (
        add(matmul(real, cos), matmul(imag, sin)),
        subtract(matmul(imag, cos), matmul(real, sin)),
    )


@public
def fft(x: Any) -> Any:
    """`y[k] = sum(x[t] * exp(-2 pi i t k / T))` along the last axis, of a pair."""
    return _transform(_pair(x), False)


@public
def fft2(x: Any) -> Any:
    """`fft` along the last two axes."""
    return _along_two_axes(_pair(x), False)


@public
def ifft2(x: Any) -> Any:
    """What `fft2` takes back to x."""
    return _along_two_axes(_pair(x), True)


def _along_two_axes(x: Pair, inverse: bool) -> Pair:
    real, imag = (swapaxes(part, -1, -2) for part in _transform(x, inverse))
    real, imag = _transform((real, imag), inverse)
    return swapaxes(real, -1, -2), swapaxes(imag, -1, -2)


def _resized(x: TracedTensor, length: int) -> TracedTensor:
    """The first `length` along the last axis, with zeros behind if it is shorter."""
    size, last = _length(x), x.type.rank - 1
    if length <= size:
        return slice_axis(x, last, 0, length)
    return pad(x, [(0, 0)] * last + [(0, length - size)])


@public
def rfft(x: Any, fft_length: int | None = None) -> Any:
    """`fft` of real numbers along the last axis: the first `fft_length // 2 + 1`, as a pair."""
    tensor = to_float(x)
    length = fft_length or _length(tensor)
    tensor = _resized(tensor, length)
    cos, sin = _turns(length, length // 2 + 1, length)
    dtype = tensor.type.dtype.numpy
    return matmul(tensor, cos.astype(dtype)), matmul(tensor, -sin.astype(dtype))


@public
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """The `fft_length` real numbers of which x is the `rfft`."""
    real, imag = _pair(x)
    length = fft_length or 2 * (_length(real) - 1)
    num_bins = length // 2 + 1
    real, imag = _resized(real, num_bins), _resized(imag, num_bins)
    cos, sin = _turns(num_bins, length, length)
    # All but the first bin, and the one of half the length, stand for their conjugates as well.
    twice = np.full((num_bins, 1), 2.0)
    twice[0] = 1
    if length % 2 == 0:
        twice[-1] = 1
    dtype = real.type.dtype.numpy
    cos, sin = ((matrix * twice / length).astype(dtype) for matrix in (cos, sin))
    return subtract(matmul(real, cos), matmul(imag, sin))


@public
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Windows `[..., n, sequence_length]` of x `[..., T]`, sequence_stride apart."""
    tensor = to_tensor(x)
    last = tensor.type.rank - 1
    num_sequences = (tensor.type.shape[last] - sequence_length) // sequence_stride + 1
    starts = multiply(emit(ir.Iota(num_sequences)), np.int32(sequence_stride))
    check_numbers(sequence_length)
    places = add(expand_dims(starts, 1), np.arange(sequence_length, dtype=np.int32))
    return emit(ir.Gather(last), tensor, places)


def _padded_window(window: Any, sequence_length: int, fft_length: int, dtype: DType) -> Any:
    """The window, by name or values, in the middle of `fft_length`; ones for None."""
    if fft_length < sequence_length:
        raise ValueError(
            f"fft_length is at least sequence_length, got {fft_length} and {sequence_length}"
        )
    check_numbers(fft_length)
    if window is None:
        return require_trace().convert(np.ones(fft_length), dtype)
    named = isinstance(window, str)
    values = window_values(window, sequence_length, True) if named else window
    tensor = require_trace().convert(values, dtype)
    if tensor.type.shape != (sequence_length,):
        raise ShapeError(f"the window needs {sequence_length} values, got {tensor.type}")
    before = (fft_length - sequence_length) // 2
    return pad(tensor, (before, fft_length - sequence_length - before))


@public
def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The `rfft` of each window of x `[..., T]`: a pair of `[..., n, fft_length // 2 + 1]`.

    With `center`, x is continued by its reflection, so that window i is around `i * stride`.
    """
    tensor = to_float(x)
    dtype = tensor.type.dtype
    values = _padded_window(window, sequence_length, fft_length, dtype)
    lead = tensor.type.shape[:-1]
    if center:
        half = fft_length // 2
        tensor = pad(tensor, [(0, 0)] * len(lead) + [(half, half)], "reflect")
    rows: Size = 1
    for size in lead:
        rows = rows * size
    signal = reshape(tensor, (rows, tensor.type.shape[-1], 1))
    num_bins = fft_length // 2 + 1
    cos, sin = _turns(fft_length, num_bins, fft_length)
    waves = np.concatenate([cos, -sin], 1)[:, None].astype(dtype.numpy)
    both = conv(signal, multiply(reshape(values, (-1, 1, 1)), waves), sequence_stride)
    both = reshape(both, (*lead, both.type.shape[1], 2 * num_bins))
    last = len(lead) + 1
    return slice_axis(both, last, 0, num_bins), slice_axis(both, last, num_bins, 2 * num_bins)


@public
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The signal `[..., T]` of which the pair x is the `stft`.

    Windows are added where they overlap, and divided by the sum of the squares of the window
    there. As in Keras, without a window it is `fft_length / sequence_stride` times as great.
    """
    frames = irfft(x, fft_length)
    values = _padded_window(window, sequence_length, fft_length, frames.type.dtype)
    num_frames = _length(frames, -2)
    total = fft_length + sequence_stride * (num_frames - 1)
    check_numbers(num_frames, fft_length)
    places = np.arange(num_frames)[:, None] * sequence_stride + np.arange(fft_length)
    places = places.reshape(-1).astype(np.int32)
    weight = segment_sum(tile(square(values), num_frames), places, total)
    weight = where(greater(weight, 1e-10), weight, 1.0)
    lead = frames.type.shape[:-2]
    frames = reshape(multiply(frames, values), (*lead, num_frames * fft_length))
    signal = moveaxis(segment_sum(moveaxis(frames, -1, 0), places, total), 0, -1)
    signal = divide(signal, weight)
    if window is None:
        signal = multiply(signal, fft_length / sequence_stride)
    start = fft_length // 2 if center else 0
    end = total - start if length is None else min(start + length, total)
    return slice_axis(signal, len(lead), start, end)
