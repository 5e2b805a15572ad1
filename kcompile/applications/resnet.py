"""ResNet50, ResNet101 and ResNet152 (He et al., 2015; arXiv:1512.03385)."""

from __future__ import annotations

from typing import Any

from kcompile import layers
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_caffe
from kcompile.applications.residual import activated, build, normalized, published
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

PUBLISHED = {
    entry[0]: published(*entry)
    for entry in (
        ("resnet50", "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
        ("resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
        ("resnet152", "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    )
}

preprocess_input = preprocess_caffe


def _stage(x: KerasTensor, filters: int, depth: int, name: str) -> KerasTensor:
    """The first block makes the images half as large, but in the first stage."""
    for number in range(1, depth + 1):
        is_first = number == 1
        strides = 2 if is_first and name != "conv2" else 1
        x = _block(x, filters, strides, is_first, f"{name}_block{number}")
    return x


def _block(x: KerasTensor, filters: int, strides: int, projects: bool, name: str) -> KerasTensor:
    """Convolutions 1 x 1, 3 x 3, 1 x 1, added to the input, or to a projection of it."""
    shortcut = x
    if projects:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(x)
        shortcut = normalized(shortcut, f"{name}_0")
    y = layers.Conv2D(filters, 1, strides=strides, name=f"{name}_1_conv")(x)
    y = activated(y, f"{name}_1")
    y = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(y)
    y = activated(y, f"{name}_2")
    y = normalized(layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y), f"{name}_3")
    y = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.Activation("relu", name=f"{name}_out")(y)


def ResNet50(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50",
) -> Model:
    """50 layers, in stages of 3, 4, 6 and 3 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((3, 4, 6, 3), _stage, PUBLISHED["resnet50"], False, **locals())


def ResNet101(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101",
) -> Model:
    """101 layers, in stages of 3, 4, 23 and 3 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((3, 4, 23, 3), _stage, PUBLISHED["resnet101"], False, **locals())


def ResNet152(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152",
) -> Model:
    """152 layers, in stages of 3, 8, 36 and 3 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((3, 8, 36, 3), _stage, PUBLISHED["resnet152"], False, **locals())


__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]
