"""EfficientNet (Tan and Le, 2019; arXiv:1905.11946)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from kcompile import layers
from kcompile.applications.building import Options, Published, channels_of, weights_file
from kcompile.applications.efficient import (
    ACTIVATION,
    classifier_initializer,
    convolved,
    excited,
    initializer,
)
from kcompile.applications.imagenet_utils import (
    TORCH_STD,
    decode_predictions,
    preprocess_nothing,
)
from kcompile.applications.mobile import divisible, padding_for
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

BASE_URL = "https://storage.googleapis.com/keras-applications"
#: The rate at which the last block's own part is dropped; that of the first is 0.
DROP_RATE = 0.2


class Scale(NamedTuple):
    """What makes one network of the family larger than another.

    Attributes:
        width: what the numbers of maps are multiplied by.
        depth: what the numbers of blocks are multiplied by.
        size: of the images.
        dropout: rate before the classifier.
        md5: of the weights of ImageNet, with the classifier and without.
    """

    width: float
    depth: float
    size: int
    dropout: float
    md5: tuple[str, str]


SCALES = {
    "B0": Scale(
        1.0, 1.0, 224, 0.2, ("902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d")
    ),
    "B1": Scale(
        1.0, 1.1, 240, 0.2, ("1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432")
    ),
    "B2": Scale(
        1.1, 1.2, 260, 0.3, ("b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39")
    ),
    "B3": Scale(
        1.2, 1.4, 300, 0.3, ("ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226")
    ),
    "B4": Scale(
        1.4, 1.8, 380, 0.4, ("18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba")
    ),
    "B5": Scale(
        1.6, 2.2, 456, 0.4, ("ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f")
    ),
    "B6": Scale(
        1.8, 2.6, 528, 0.5, ("165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743")
    ),
    "B7": Scale(
        2.0, 3.1, 600, 0.5, ("8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a")
    ),
}


class Stage(NamedTuple):
    """Blocks that follow each other.

    Attributes:
        kernel: size of the depthwise convolution.
        depth: number of blocks.
        filters: maps that each makes.
        expansion: what the number of maps is multiplied by inside.
        strides: of the first block.
    """

    kernel: int
    depth: int
    filters: int
    expansion: int
    strides: int


STAGES = (
    Stage(3, 1, 16, 1, 1),
    Stage(3, 2, 24, 6, 2),
    Stage(5, 2, 40, 6, 2),
    Stage(3, 3, 80, 6, 2),
    Stage(5, 3, 112, 6, 1),
    Stage(5, 4, 192, 6, 2),
    Stage(3, 1, 320, 6, 1),
)

preprocess_input = preprocess_nothing


def _build(kind: str, **arguments: Any) -> Model:
    """The network of that scale; the arguments are those of `Options`."""
    scale = SCALES[kind]
    options = Options(**arguments)
    x = options.image(scale.size, 32)
    x = layers.Rescaling(1.0 / 255.0)(x)
    x = layers.Normalization(axis=3)(x)
    if options.is_imagenet:
        # The published weights were trained so: the square root is no slip here.
        x = layers.Rescaling([1.0 / math.sqrt(std) for std in TORCH_STD])(x)
    x = layers.ZeroPadding2D(padding_for(x, 3), name="stem_conv_pad")(x)
    x = convolved(x, divisible(32 * scale.width), 3, "stem_conv", strides=2, padding="valid")
    x = _activated(x, "stem_bn", "stem_activation")
    for stage, strides, name, rate in _blocks(scale):
        filters = divisible(stage.filters * scale.width)
        x = _block(x, stage, filters, strides, rate, name)
    x = convolved(x, divisible(1280 * scale.width), 1, "top_conv")
    x = _activated(x, "top_bn", "top_activation")
    if not options.include_top:
        x = options.pool(x, avg="avg_pool", max="max_pool")
        return options.finish(x, _published(kind))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(scale.dropout, name="top_dropout")(x)
    x = options.classify(x, kernel_initializer=classifier_initializer())
    return options.finish(x, _published(kind))


def _published(kind: str) -> Published:
    name, (md5, md5_no_top) = f"efficientnet{kind.lower()}", SCALES[kind].md5
    return Published(
        weights_file(BASE_URL, f"{name}.h5", md5),
        weights_file(BASE_URL, f"{name}_notop.h5", md5_no_top),
    )


def _blocks(scale: Scale) -> Iterator[tuple[Stage, int, str, float]]:
    """Stage, stride, prefix of names and drop rate of each block."""
    depths = [math.ceil(scale.depth * stage.depth) for stage in STAGES]
    done = 0
    for number, (stage, depth) in enumerate(zip(STAGES, depths, strict=True), 1):
        for index in range(depth):
            strides = 1 if index else stage.strides
            yield stage, strides, f"block{number}{chr(97 + index)}_", DROP_RATE * done / sum(depths)
            done += 1


def _activated(x: KerasTensor, normalization: str, activation: str) -> KerasTensor:
    x = layers.BatchNormalization(axis=3, name=normalization)(x)
    return layers.Activation(ACTIVATION, name=activation)(x)


def _block(
    x: KerasTensor, stage: Stage, filters: int, strides: int, rate: float, name: str
) -> KerasTensor:
    """Expansion, depthwise convolution, excitation, projection; added where that fits."""
    channels = channels_of(x)
    y = x
    if stage.expansion != 1:
        y = convolved(y, channels * stage.expansion, 1, f"{name}expand_conv")
        y = _activated(y, f"{name}expand_bn", f"{name}expand_activation")
    if strides == 2:
        y = layers.ZeroPadding2D(padding_for(y, stage.kernel), name=f"{name}dwconv_pad")(y)
    y = layers.DepthwiseConv2D(
        stage.kernel,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=False,
        depthwise_initializer=initializer(),
        name=f"{name}dwconv",
    )(y)
    y = _activated(y, f"{name}bn", f"{name}activation")
    y = excited(y, max(1, channels // 4), name)
    y = convolved(y, filters, 1, f"{name}project_conv")
    y = layers.BatchNormalization(axis=3, name=f"{name}project_bn")(y)
    if strides > 1 or channels != filters:
        return y
    if rate > 0:
        y = layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(y)
    return layers.Add(name=f"{name}add")([y, x])


def EfficientNetB0(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb0",
) -> Model:
    """For images of 224 x 224, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B0", **locals())


def EfficientNetB1(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb1",
) -> Model:
    """For images of 240 x 240, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B1", **locals())


def EfficientNetB2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb2",
) -> Model:
    """For images of 260 x 260, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B2", **locals())


def EfficientNetB3(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb3",
) -> Model:
    """For images of 300 x 300, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B3", **locals())


def EfficientNetB4(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb4",
) -> Model:
    """For images of 380 x 380, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B4", **locals())


def EfficientNetB5(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb5",
) -> Model:
    """For images of 456 x 456, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B5", **locals())


def EfficientNetB6(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb6",
) -> Model:
    """For images of 528 x 528, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B6", **locals())


def EfficientNetB7(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb7",
) -> Model:
    """For images of 600 x 600, with pixels from 0 to 255.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("B7", **locals())


__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "decode_predictions",
    "preprocess_input",
]
