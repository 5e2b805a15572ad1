"""MobileNet (Howard et al., 2017; arXiv:1704.04861)."""

from __future__ import annotations

import dataclasses
from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, Published, weights_file
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_tf
from kcompile.applications.mobile import default_size, published_size
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet"
SIZES = (128, 160, 192, 224)
#: Width -> how names of files have it.
WIDTHS = {1.0: "1_0", 0.75: "7_5", 0.50: "5_0", 0.25: "2_5"}
#: Maps and stride of each block.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)

preprocess_input = preprocess_tf


def MobileNet(
    input_shape: Any = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """A convolution and 13 depthwise separable ones; for images of 224 x 224.

    Args:
        alpha: width: what the numbers of maps are multiplied by.
        depth_multiplier: maps that a depthwise convolution makes of each.
        dropout: rate before the classifier.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    options = Options(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name or "mobilenet",
    )
    size = default_size(input_shape, None, SIZES)
    rows = options.shape(size, 32, include_top)[0]
    published = None
    if options.is_imagenet:
        rows, published = _published(options, alpha, depth_multiplier, size)
    if name is None:
        options = dataclasses.replace(options, name=f"mobilenet_{alpha:0.2f}_{rows}")
    x = options.image(size, 32)
    x = layers.Conv2D(int(32 * alpha), 3, padding="same", use_bias=False, strides=2, name="conv1")(
        x
    )
    x = _activated(x, "conv1")
    for number, (filters, strides) in enumerate(BLOCKS, 1):
        x = _block(x, int(filters * alpha), depth_multiplier, strides, number)
    if include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, 1, padding="same", name="conv_preds")(x)
        x = layers.Reshape((classes,), name="reshape_2")(x)
        x = layers.Activation(classifier_activation, name="predictions")(x)
    else:
        x = options.pool(x)
    return options.finish(x, published)


def _published(
    options: Options, alpha: float, depth_multiplier: int, size: int
) -> tuple[int, Published]:
    """The image size that weights were published for, and where they are."""
    if depth_multiplier != 1:
        options.refuse(f"the weights of ImageNet have depth_multiplier=1, not {depth_multiplier}")
    if alpha not in WIDTHS:
        options.refuse(f"weights of ImageNet are published for alpha {list(WIDTHS)}, not {alpha}")
    rows = published_size(options.shape(size, 32, options.include_top), SIZES)
    stem = f"mobilenet_{WIDTHS[alpha]}_{rows}_tf"
    files = (weights_file(BASE_URL, f"{stem}{end}.h5") for end in ("", "_no_top"))
    return rows, Published(*files)


def _activated(x: KerasTensor, name: str) -> KerasTensor:
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _block(
    x: KerasTensor, filters: int, depth_multiplier: int, strides: int, number: int
) -> KerasTensor:
    if strides > 1:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    x = layers.DepthwiseConv2D(
        3,
        padding="same" if strides == 1 else "valid",
        depth_multiplier=depth_multiplier,
        strides=strides,
        use_bias=False,
        name=f"conv_dw_{number}",
    )(x)
    x = _activated(x, f"conv_dw_{number}")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"conv_pw_{number}")(x)
    return _activated(x, f"conv_pw_{number}")


__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]
