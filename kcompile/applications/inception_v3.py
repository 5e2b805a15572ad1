"""InceptionV3 (Szegedy et al., 2015; arXiv:1512.00567)."""

from __future__ import annotations

from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, published_pair
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_tf
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

PUBLISHED = published_pair(
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3",
    "inception_v3",
    "9a0d58056eeedaa3f26cb7ebd46da564",
    "bcbd6486424b2319ff4ef7d526e38f63",
)

#: Maps, height and width of the kernel.
Convolution = tuple[int, int, int]
Branch = tuple[Convolution, ...]

preprocess_input = preprocess_tf


def InceptionV3(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "inception_v3",
) -> Model:
    """94 convolutions, most of them in eleven blocks of branches; for images of 299 x 299.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    options = Options(**locals())
    x = _features(options.image(default_size=299, min_size=75))
    if not options.include_top:
        return options.finish(options.pool(x), PUBLISHED)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return options.finish(options.classify(x), PUBLISHED)


def _features(x: KerasTensor) -> KerasTensor:
    """The last feature maps of an image."""
    x = _convolved(x, 32, 3, 3, strides=2, padding="valid")
    x = _convolved(x, 32, 3, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(_convolved(x, 64, 3, 3))
    x = _convolved(x, 80, 1, 1, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(_convolved(x, 192, 3, 3, padding="valid"))
    for number, pooled in enumerate((32, 64, 64)):
        double = ((64, 1, 1), (96, 3, 3), (96, 3, 3))
        branches = (((64, 1, 1),), ((48, 1, 1), (64, 5, 5)), double)
        x = _mixed(x, branches, pooled, f"mixed{number}")
    x = _narrowing(x, (((384, 3, 3),), ((64, 1, 1), (96, 3, 3), (96, 3, 3))), "mixed3")
    for number, inner in enumerate((128, 160, 160, 192), 4):
        x = _mixed(x, _asymmetric(inner), 192, f"mixed{number}")
    asymmetric = ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3))
    x = _narrowing(x, (((192, 1, 1), (320, 3, 3)), asymmetric), "mixed8")
    for number in range(2):
        x = _widest(x, number)
    return x


def _asymmetric(inner: int) -> tuple[Branch, ...]:
    """Branches of kernels 1 x 7 and 7 x 1."""
    return (
        ((192, 1, 1),),
        ((inner, 1, 1), (inner, 1, 7), (192, 7, 1)),
        ((inner, 1, 1), (inner, 7, 1), (inner, 1, 7), (inner, 7, 1), (192, 1, 7)),
    )


def _convolved(
    x: KerasTensor, filters: int, height: int, width: int, strides: int = 1, padding: str = "same"
) -> KerasTensor:
    x = layers.Conv2D(filters, (height, width), strides=strides, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(axis=3, scale=False)(x)
    return layers.Activation("relu")(x)


def _along(x: KerasTensor, branch: Branch) -> KerasTensor:
    for convolution in branch:
        x = _convolved(x, *convolution)
    return x


def _mixed(x: KerasTensor, branches: tuple[Branch, ...], pooled: int, name: str) -> KerasTensor:
    """Branches side by side, and one that pools and makes `pooled` maps."""
    ends = [_along(x, branch) for branch in branches]
    return layers.Concatenate(axis=3, name=name)([*ends, _pooled(x, pooled)])


def _pooled(x: KerasTensor, filters: int) -> KerasTensor:
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return _convolved(x, filters, 1, 1)


def _narrowing(x: KerasTensor, branches: tuple[Branch, ...], name: str) -> KerasTensor:
    """Branches whose last convolution has stride 2, and a pooling."""
    ends = []
    for branch in branches:
        y = _along(x, branch[:-1])
        ends.append(_convolved(y, *branch[-1], strides=2, padding="valid"))
    ends.append(layers.MaxPooling2D(3, strides=2)(x))
    return layers.Concatenate(axis=3, name=name)(ends)


def _widest(x: KerasTensor, number: int) -> KerasTensor:
    """Branches that part once more, into 1 x 3 and 3 x 1."""

    def parted(y: KerasTensor, name: str | None) -> KerasTensor:
        parts = [_convolved(y, 384, 1, 3), _convolved(y, 384, 3, 1)]
        return layers.Concatenate(axis=3, name=name)(parts)

    single = _convolved(x, 320, 1, 1)
    once = parted(_convolved(x, 384, 1, 1), f"mixed9_{number}")
    twice = parted(_along(x, ((448, 1, 1), (384, 3, 3))), None)
    ends = [single, once, twice, _pooled(x, 192)]
    return layers.Concatenate(axis=3, name=f"mixed{9 + number}")(ends)


__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]
