"""ResNet50V2, ResNet101V2 and ResNet152V2 (He et al., 2016; arXiv:1603.05027)."""

from __future__ import annotations

from typing import Any

from kcompile import layers
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_tf
from kcompile.applications.residual import activated, build, published
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

PUBLISHED = {
    entry[0]: published(*entry)
    for entry in (
        ("resnet50v2", "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
        ("resnet101v2", "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
        ("resnet152v2", "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
    )
}

preprocess_input = preprocess_tf


def _stage(x: KerasTensor, filters: int, depth: int, name: str) -> KerasTensor:
    """The last block makes the images half as large, but in the last stage."""
    for number in range(1, depth + 1):
        strides = 2 if number == depth and name != "conv5" else 1
        x = _block(x, filters, strides, number == 1, f"{name}_block{number}")
    return x


def _block(x: KerasTensor, filters: int, strides: int, projects: bool, name: str) -> KerasTensor:
    """Normalization and ReLU come before each convolution; nothing after the sum."""
    before = activated(x, f"{name}_preact")
    if projects:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(before)
    else:
        shortcut = layers.MaxPooling2D(1, strides=strides)(x) if strides > 1 else x
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(before)
    y = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(activated(y, f"{name}_1"))
    y = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=f"{name}_2_conv")(y)
    y = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(activated(y, f"{name}_2"))
    return layers.Add(name=f"{name}_out")([shortcut, y])


def ResNet50V2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50v2",
) -> Model:
    """50 layers, in stages of 3, 4, 6 and 3 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((3, 4, 6, 3), _stage, PUBLISHED["resnet50v2"], True, **locals())


def ResNet101V2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101v2",
) -> Model:
    """101 layers, in stages of 3, 4, 23 and 3 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((3, 4, 23, 3), _stage, PUBLISHED["resnet101v2"], True, **locals())


def ResNet152V2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152v2",
) -> Model:
    """152 layers, in stages of 3, 8, 36 and 3 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((3, 8, 36, 3), _stage, PUBLISHED["resnet152v2"], True, **locals())


__all__ = ["ResNet50V2", "ResNet101V2", "ResNet152V2", "decode_predictions", "preprocess_input"]
