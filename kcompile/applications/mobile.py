"""What the MobileNets share."""

from __future__ import annotations

import warnings
from typing import Any

from kcompile import layers
from kcompile.ops.tensor import KerasTensor


def divisible(number: float, by: int = 8) -> int:
    """The multiple nearest to a number of maps, but never less than nine tenths of it."""
    rounded = max(by, int(number + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * number else rounded


def padding_for(x: KerasTensor, kernel: int) -> Any:
    """What to pad before a strided convolution, so that it sees what TensorFlow's `same` does."""
    ends = kernel // 2
    return tuple(
        (ends if size is not None and size % 2 else ends - 1, ends) for size in x.shape[1:3]
    )


def normalized(x: KerasTensor, name: str) -> KerasTensor:
    """Batch normalization that changes its statistics slowly, as V2 and V3 have it."""
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=name)(x)


def published_size(shape: Any, sizes: tuple[int, ...], default: int = 224) -> int:
    """The image size whose weights of ImageNet are taken for images of a shape."""
    height, width, _ = shape
    if height == width and height in sizes:
        return int(height)
    warnings.warn(
        f"weights of ImageNet are published for square images of {', '.join(map(str, sizes))};"
        f" those of {default} are loaded for {height} x {width}",
        stacklevel=3,
    )
    return default


def default_size(input_shape: Any, input_tensor: Any, sizes: tuple[int, ...]) -> int:
    """The size of images that is meant: what is given, if weights are published for it."""
    shape = input_shape
    if shape is None and input_tensor is not None:
        shape = input_tensor.shape[1:]
    if shape is not None and len(shape) == 3 and shape[0] == shape[1] and shape[0] in sizes:
        return int(shape[0])
    return 224
