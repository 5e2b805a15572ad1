"""Filters of images: blurs, edges, patches, distortions, and how alike two images are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import ShapeError
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.ops.convolution import depthwise_conv
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import cast, exp
from kcompile.ops.image.layout import on_batch
from kcompile.ops.image.resizing import image_axes
from kcompile.ops.image.sampling import check_sampling, grid_of, sample_images
from kcompile.ops.limits import check_numbers
from kcompile.ops.nn import conv
from kcompile.ops.promotion import FLOATX, promote, to_tensor
from kcompile.ops.random import normal
from kcompile.ops.reduction import mean
from kcompile.ops.reduction import sum as sum_of
from kcompile.ops.shape import broadcast_to, expand_dims, reshape, squeeze, stack
from kcompile.ops.tensor import TracedTensor


def _bell(size: int, sigma: Any, dtype: str) -> Any:
    """`[size]`: a normal density around the middle, scaled to the sum 1."""
    check_numbers(size)
    distance = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    ratio = cast(distance, dtype) / sigma
    bell = exp(-0.5 * ratio * ratio)
    return bell / sum_of(bell)


def _filtered(x: Any, kernel: Any, padding: str = "same") -> Any:
    """Images `[N, H, W, C]`, each channel under the same kernel `[h, w]`."""
    channels = x.type.shape[-1]
    kernels = broadcast_to(expand_dims(kernel, -1), (*kernel.type.shape, channels))
    return depthwise_conv(x, expand_dims(kernels, -1), padding=padding)


def _blur(x: Any, kernel_size: Sequence[int], sigma: Sequence[Any]) -> Any:
    """A blur along each axis in turn, which is that by the outer product."""
    columns = expand_dims(_bell(kernel_size[0], sigma[0], x.dtype), 0)
    rows = expand_dims(_bell(kernel_size[1], sigma[1], x.dtype), 1)
    return _filtered(_filtered(x, columns), rows)


@public
def gaussian_blur(
    images: Any,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Any:
    """Images blurred by a normal density, with zeros around them.

    Args:
        kernel_size: width and height of the kernel.
        sigma: its standard deviations in x and in y, in pixels.
    """
    x = to_tensor(images)
    if not x.type.dtype.is_floating:
        raise ShapeError(f"needs floating-point images, got {x.type}")
    sigmas = cast(to_tensor(sigma), x.dtype)
    pair = [sigmas[0], sigmas[1]]
    return on_batch(lambda batch: _blur(batch, tuple(kernel_size), pair), x, data_format)


@public
def elastic_transform(
    images: Any,
    alpha: Any = 20.0,
    sigma: Any = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images each element of which is moved by smooth random amounts.

    (Simard et al., "Best practices for convolutional neural networks", 2003)

    Args:
        alpha: strength of the movement.
        sigma: a number: how smooth it is, in pixels.
        seed: an int for the same movement every time, a `SeedGenerator`, or None.
    """
    x = to_tensor(images)
    height, width = (x.type.shape[axis] for axis in image_axes(x.type.rank, data_format))
    noise = normal((x.type.shape[0] if x.type.rank == 4 else 1, height, width, 2), seed=seed)
    spread = (sigma, int(6 * sigma) | 1)
    return distort(x, noise, alpha, spread, (interpolation, fill_mode, fill_value), data_format)


def distort(
    x: TracedTensor,
    noise: Any,
    alpha: Any,
    spread: tuple[Any, int],
    sampling: tuple[str, str, float],
    data_format: str | None,
) -> Any:
    """Images moved by noise `[N, H, W, 2]` (down and to the right), blurred and times alpha.

    Args:
        spread: the blur's sigma, by which the noise is multiplied too, and the size of its kernel.
        sampling: interpolation, fill mode and fill value.
    """
    check_sampling(*sampling[:2])
    sigma, kernel_size = spread
    moves = _blur(noise * sigma, (kernel_size, kernel_size), (sigma, sigma)) * alpha

    def move(batch: TracedTensor) -> Any:
        rows, columns = grid_of(batch)
        return sample_images(batch, rows + moves[..., 0], columns + moves[..., 1], *sampling)

    return on_batch(move, x, data_format)


@public
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """`[..., 2]`: how fast images change downwards and to the right, with zeros around them.

    (Sobel and Feldman, 1968)
    """
    x = to_tensor(images)
    if x.type.rank != 4:
        raise ShapeError(f"needs a batch of images, got {x.type}")
    right = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)

    def edges(kernel: Any) -> Any:
        return on_batch(lambda batch: _filtered(batch, cast(kernel, x.dtype)), x, data_format)

    return stack([edges(right.T), edges(right)], -1)


@public
def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    """How alike images are, 1 for the same: `[N]`, or one number for two images.

    (Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004)

    Args:
        max_val: how far the greatest value is from the least.
        filter_size, filter_sigma: of the window under which statistics are taken.
    """
    first, second = to_tensor(image1), to_tensor(image2)
    dtype = first.dtype
    compute = promote(first.type.dtype, FLOATX) if not first.type.dtype.is_floating else None
    if compute is not None:
        first, second = (cast(x, compute.keras_name) for x in (first, second))
    bell = _bell(filter_size, filter_sigma, first.dtype)
    kernel = reshape(bell, (-1, 1)) * reshape(bell, (1, -1))

    def windowed(x: Any) -> Any:
        return on_batch(lambda batch: _filtered(batch, kernel, "valid"), x, data_format)

    means = windowed(first), windowed(second)
    product = means[0] * means[1]
    squares = means[0] * means[0] + means[1] * means[1]
    variances = windowed(first * first) + windowed(second * second) - squares
    covariance = windowed(first * second) - product
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    similarity = ((2.0 * product + c1) * (2.0 * covariance + c2)) / (
        (squares + c1) * (variances + c2)
    )
    axes = tuple(range(similarity.type.rank - 3, similarity.type.rank))
    return cast(mean(similarity, axes), dtype)


@public
def extract_patches(
    images: Any,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Windows of images, each flattened `[h * w * C]` at its place; of volumes for three sizes."""
    if not isinstance(size, int) and len(size) not in (2, 3):
        raise ShapeError(f"size is a number, (height, width) or three numbers, got {size!r}")
    num_axes = 2 if isinstance(size, int) else len(size)
    return _patches(images, size, num_axes, strides, dilation_rate, padding, data_format)


@public
def extract_patches_3d(
    volumes: Any,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Windows of volumes, each flattened `[d * h * w * C]` at its place."""
    if not isinstance(size, int) and len(size) != 3:
        raise ShapeError(f"size is a number or (depth, height, width), got {size!r}")
    return _patches(volumes, size, 3, strides, dilation_rate, padding, data_format)


def _patches(
    images: Any,
    size: int | Sequence[int],
    num_axes: int,
    strides: Any,
    dilation_rate: Any,
    padding: str,
    data_format: str | None,
) -> Any:
    """A convolution by unit vectors."""
    x = to_tensor(images)
    single = x.type.rank == num_axes + 1
    if not single and x.type.rank != num_axes + 2:
        raise ShapeError(f"needs rank {num_axes + 1} or {num_axes + 2}, got {x.type}")
    batch = expand_dims(x, 0) if single else x
    channels = batch.type.shape[-1 if (data_format or CHANNELS_LAST) == CHANNELS_LAST else 1]
    if not isinstance(channels, int):
        raise ShapeError(f"needs channels whose number is known, got {x.type}")
    window = (size,) * num_axes if isinstance(size, int) else tuple(size)
    total = math.prod(window) * channels
    check_numbers(total, total)
    kernel = cast(np.eye(total, dtype=np.float32).reshape(*window, channels, total), x.dtype)
    patches = conv(batch, kernel, strides or window, padding, data_format, dilation_rate)
    return squeeze(patches, 0) if single else patches
