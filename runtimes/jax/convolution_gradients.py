"""Convolutions for training on the CPU, with gradients in forms that XLA runs well there."""

from __future__ import annotations

import functools

import jax
from jax import lax

from kcompile.ir.ops import Conv, ConvTranspose
from kcompile.ir.ops.convolution import SPATIAL_INPUT_OUTPUT
from kcompile.ir.ops.transposed import SPATIAL_OUTPUT_INPUT
from kcompile.ir.ops.windows import channel_axis, explicit_padding, spatial_axes
from kcompile.runtimes.jax.bias_gradients import add_bias
from kcompile.runtimes.jax.convolution_forms import (
    Geometry,
    forward,
    input_gradient,
    kernel_gradient,
)
from kcompile.runtimes.jax.table import lowers_for_training

Pair = tuple[jax.Array, jax.Array]


@lowers_for_training("cpu", Conv)
def conv(op: Conv, x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    order = _channels_last(x.ndim, op.data_format)
    x = x.transpose(order)
    window = op.window(w.shape)
    w = w if op.kernel_format == SPATIAL_INPUT_OUTPUT else _spatial_first(w)
    sizes = x.shape[1:-1]
    pads = explicit_padding(op.padding, sizes, window, op.strides, op.dilation)
    counts = tuple(
        (size + sum(pad) - (width - 1) * dilation - 1) // stride + 1
        for size, pad, width, dilation, stride in zip(
            sizes, pads, window, op.dilation, op.strides, strict=True
        )
    )
    before = tuple(pad[0] for pad in pads)
    geometry = Geometry(sizes, counts, window, op.strides, op.dilation, before, op.groups)
    return _back(_convolution(geometry, x, w), b, order)


@lowers_for_training("cpu", ConvTranspose)
def conv_transpose(
    op: ConvTranspose, x: jax.Array, w: jax.Array, b: jax.Array | None = None
) -> jax.Array:
    """The gradient of the convolution that takes the result's places to those of x."""
    order = _channels_last(x.ndim, op.data_format)
    x = x.transpose(order)
    window = op.window(w.shape)
    w = w if op.kernel_format == SPATIAL_OUTPUT_INPUT else _spatial_first(w)
    counts = x.shape[1:-1]
    sizes = tuple(
        (count - 1) * stride + (width - 1) * dilation + 1 - sum(pad) + extra
        for count, stride, width, dilation, pad, extra in zip(
            counts, op.strides, window, op.dilation, op.padding, op.output_padding, strict=True
        )
    )
    before = tuple(pad[0] for pad in op.padding)
    geometry = Geometry(sizes, counts, window, op.strides, op.dilation, before)
    return _back(_transposed_convolution(geometry, x, w), b, order)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolution(geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    return forward(geometry, x, w)


def _convolution_forward(geometry: Geometry, x: jax.Array, w: jax.Array) -> tuple[jax.Array, Pair]:
    return forward(geometry, x, w), (x, w)


def _convolution_backward(geometry: Geometry, kept: Pair, dy: jax.Array) -> Pair:
    x, w = kept
    dy = lax.optimization_barrier(dy)
    return input_gradient(geometry, dy, w), kernel_gradient(geometry, x, dy)


_convolution.defvjp(_convolution_forward, _convolution_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transposed_convolution(geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    return input_gradient(geometry, x, w)


def _transposed_forward(geometry: Geometry, x: jax.Array, w: jax.Array) -> tuple[jax.Array, Pair]:
    return input_gradient(geometry, x, w), (x, w)


def _transposed_backward(geometry: Geometry, kept: Pair, dy: jax.Array) -> Pair:
    x, w = kept
    dy = lax.optimization_barrier(dy)
    return forward(geometry, dy, w), kernel_gradient(geometry, dy, x)


_transposed_convolution.defvjp(_transposed_forward, _transposed_backward)


def _channels_last(rank: int, data_format: str) -> tuple[int, ...]:
    """The axes of a tensor of that format in the order batch, spatial, channels."""
    return (0, *spatial_axes(rank, data_format), channel_axis(rank, data_format))


def _spatial_first(w: jax.Array) -> jax.Array:
    """A kernel `[A, B, K...]` as `[K..., B, A]`."""
    return w.transpose(*range(2, w.ndim), 1, 0)


def _back(y: jax.Array, b: jax.Array | None, order: tuple[int, ...]) -> jax.Array:
    """y with the bias, its axes as they were before they were put in that order."""
    y = y if b is None else add_bias(y, b)
    return y.transpose(sorted(range(y.ndim), key=order.__getitem__))
