"""DenseNet (Huang et al., 2016; arXiv:1608.06993)."""

from __future__ import annotations

from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, Published, channels_of, published_pair
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_torch
from kcompile.applications.residual import activated
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/densenet"
#: Maps that each block adds.
GROWTH = 32
PUBLISHED = {
    entry[0]: published_pair(BASE_URL, *entry)
    for entry in (
        ("densenet121", "9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"),
        ("densenet169", "d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"),
        ("densenet201", "1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"),
    )
}

preprocess_input = preprocess_torch


def _build(depths: tuple[int, ...], files: Published, **arguments: Any) -> Model:
    """Stages of so many blocks; between two stages half the maps, at half the size."""
    options = Options(**arguments)
    x = options.image(default_size=224, min_size=32)
    x = layers.ZeroPadding2D(3)(x)
    x = layers.Conv2D(64, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = layers.ZeroPadding2D(1)(activated(x, "conv1"))
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number, depth in enumerate(depths, 2):
        for block in range(1, depth + 1):
            x = _block(x, f"conv{number}_block{block}")
        if number < 1 + len(depths):
            x = _transition(x, f"pool{number}")
    x = layers.BatchNormalization(axis=3, epsilon=1.001e-5, name="bn")(x)
    x = layers.Activation("relu", name="relu")(x)
    if options.include_top:
        x = options.classify(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pool(x, avg="avg_pool", max="max_pool")
    return options.finish(x, files)


def _block(x: KerasTensor, name: str) -> KerasTensor:
    y = layers.Conv2D(4 * GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(
        activated(x, f"{name}_0")
    )
    y = layers.Conv2D(GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(
        activated(y, f"{name}_1")
    )
    return layers.Concatenate(axis=3, name=f"{name}_concat")([x, y])


def _transition(x: KerasTensor, name: str) -> KerasTensor:
    half = channels_of(x) // 2
    x = layers.Conv2D(half, 1, use_bias=False, name=f"{name}_conv")(activated(x, name))
    return layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def DenseNet121(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet121",
) -> Model:
    """Stages of 6, 12, 24 and 16 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build((6, 12, 24, 16), PUBLISHED["densenet121"], **locals())


def DenseNet169(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet169",
) -> Model:
    """Stages of 6, 12, 32 and 32 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build((6, 12, 32, 32), PUBLISHED["densenet169"], **locals())


def DenseNet201(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet201",
) -> Model:
    """Stages of 6, 12, 48 and 32 blocks; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build((6, 12, 48, 32), PUBLISHED["densenet201"], **locals())


__all__ = ["DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]
