"""Residual networks: what ResNet and ResNetV2 share.

He et al., "Deep Residual Learning for Image Recognition" (arXiv:1512.03385) and "Identity Mappings
in Deep Residual Networks" (arXiv:1603.05027).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, Published, published_pair
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

EPSILON = 1.001e-5
BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet"

#: Features, filters, number of blocks and name of a stage -> features.
Stage = Callable[[KerasTensor, int, int, str], KerasTensor]


def published(name: str, md5: str, md5_no_top: str) -> Published:
    """Where Keras's weights of a model are."""
    return published_pair(BASE_URL, name, md5, md5_no_top)


def normalized(x: KerasTensor, name: str) -> KerasTensor:
    """Batch normalization with the epsilon of these networks."""
    return layers.BatchNormalization(axis=3, epsilon=EPSILON, name=f"{name}_bn")(x)


def activated(x: KerasTensor, name: str) -> KerasTensor:
    """The same and a ReLU."""
    return layers.Activation("relu", name=f"{name}_relu")(normalized(x, name))


def build(
    depths: tuple[int, ...], stage: Stage, files: Published, is_v2: bool, **arguments: Any
) -> Model:
    """A 7 x 7 convolution, a pooling, four stages of so many blocks, a dense layer.

    Args:
        depths: blocks of each stage.
        stage: builds one.
        files: the weights of ImageNet.
        is_v2: whether blocks begin, and the last one is followed, by normalization and ReLU.
        arguments: those of `Options`.
    """
    options = Options(**arguments)
    x = options.image(default_size=224, min_size=32)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    if not is_v2:
        x = activated(x, "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for number, depth in enumerate(depths):
        x = stage(x, 64 * 2**number, depth, f"conv{number + 2}")
    if is_v2:
        x = activated(x, "post")
    if options.include_top:
        x = options.classify(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pool(x, avg="avg_pool", max="max_pool")
    return options.finish(x, files)
