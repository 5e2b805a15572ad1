"""EfficientNetV2 (Tan and Le, 2021; arXiv:2104.00298)."""

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
    TORCH_MEAN,
    TORCH_STD,
    decode_predictions,
    preprocess_nothing,
)
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2"
#: The rate at which a block's own part is dropped grows to about this.
DROP_RATE = 0.2
DROPOUT = 0.2


class Stage(NamedTuple):
    """Blocks that follow each other.

    Attributes:
        depth: number of blocks.
        filters: maps that each makes.
        expansion: what the number of maps is multiplied by inside.
        strides: of the first block.
        is_fused: whether one convolution expands and looks around, without excitation.
    """

    depth: int
    filters: int
    expansion: int
    strides: int
    is_fused: bool


BASE = (
    Stage(1, 16, 1, 1, True),
    Stage(2, 32, 4, 2, True),
    Stage(2, 48, 4, 2, True),
    Stage(3, 96, 4, 2, False),
    Stage(5, 112, 6, 1, False),
    Stage(8, 192, 6, 2, False),
)
SMALL = (
    Stage(2, 24, 1, 1, True),
    Stage(4, 48, 4, 2, True),
    Stage(4, 64, 4, 2, True),
    Stage(6, 128, 4, 2, False),
    Stage(9, 160, 6, 1, False),
    Stage(15, 256, 6, 2, False),
)
MEDIUM = (
    Stage(3, 24, 1, 1, True),
    Stage(5, 48, 4, 2, True),
    Stage(5, 80, 4, 2, True),
    Stage(7, 160, 4, 2, False),
    Stage(14, 176, 6, 1, False),
    Stage(18, 304, 6, 2, False),
    Stage(5, 512, 6, 1, False),
)
LARGE = (
    Stage(4, 32, 1, 1, True),
    Stage(7, 64, 4, 2, True),
    Stage(7, 96, 4, 2, True),
    Stage(10, 192, 4, 2, False),
    Stage(19, 224, 6, 1, False),
    Stage(25, 384, 6, 2, False),
    Stage(7, 640, 6, 1, False),
)


class Scale(NamedTuple):
    """One network of the family.

    Attributes:
        stages: its blocks.
        stem: maps of the first convolution.
        width: what the numbers of maps are multiplied by.
        depth: what the numbers of blocks are multiplied by.
        size: of the images.
        md5: of the weights of ImageNet, with the classifier and without.
    """

    stages: tuple[Stage, ...]
    stem: int
    width: float
    depth: float
    size: int
    md5: tuple[str, str]


SCALES = {
    "b0": Scale(
        BASE,
        32,
        1.0,
        1.0,
        224,
        ("21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"),
    ),
    "b1": Scale(
        BASE,
        32,
        1.0,
        1.1,
        240,
        ("069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37"),
    ),
    "b2": Scale(
        BASE,
        32,
        1.1,
        1.2,
        260,
        ("424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb"),
    ),
    "b3": Scale(
        BASE,
        32,
        1.2,
        1.4,
        300,
        ("1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856"),
    ),
    "s": Scale(
        SMALL,
        24,
        1.0,
        1.0,
        384,
        ("e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"),
    ),
    "m": Scale(
        MEDIUM,
        24,
        1.0,
        1.0,
        480,
        ("a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"),
    ),
    "l": Scale(
        LARGE,
        32,
        1.0,
        1.0,
        480,
        ("27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"),
    ),
}

preprocess_input = preprocess_nothing


def _build(kind: str, include_preprocessing: bool, **arguments: Any) -> Model:
    """The network of that scale; the arguments are those of `Options`."""
    scale = SCALES[kind]
    options = Options(**arguments)
    x = options.image(scale.size, 32)
    if include_preprocessing:
        x = _preprocessed(x, is_base=kind.startswith("b"))
    x = convolved(x, _rounded(scale.stem * scale.width), 3, "stem_conv", strides=2)
    x = _activated(x, "stem_bn", "stem_activation")
    for stage, strides, name, rate in _blocks(scale):
        filters = _rounded(stage.filters * scale.width)
        y = (_fused if stage.is_fused else _separable)(x, stage, filters, strides, name)
        if strides == 1 and channels_of(x) == filters:
            if rate > 0:
                y = layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(y)
            y = layers.Add(name=f"{name}add")([y, x])
        x = y
    x = convolved(x, _rounded(1280 * scale.width), 1, "top_conv")
    x = _activated(x, "top_bn", "top_activation")
    if not options.include_top:
        x = options.pool(x, avg="avg_pool", max="max_pool")
        return options.finish(x, _published(kind))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(DROPOUT, name="top_dropout")(x)
    x = options.classify(x, kernel_initializer=classifier_initializer())
    return options.finish(x, _published(kind))


def _published(kind: str) -> Published:
    name, (md5, md5_no_top) = f"efficientnetv2-{kind}", SCALES[kind].md5
    return Published(
        weights_file(BASE_URL, f"{name}.h5", md5),
        weights_file(BASE_URL, f"{name}_notop.h5", md5_no_top),
    )


def _preprocessed(x: KerasTensor, is_base: bool) -> KerasTensor:
    """Pixels from 0 to 255 in the range that the weights were trained on."""
    if is_base and channels_of(x) == 3:
        x = layers.Rescaling(scale=1.0 / 255)(x)
        variance = [std**2 for std in TORCH_STD]
        return layers.Normalization(mean=list(TORCH_MEAN), variance=variance, axis=3)(x)
    return layers.Rescaling(scale=1.0 / 128.0, offset=-1)(x)


def _rounded(filters: float) -> int:
    """The nearest multiple of 8."""
    return max(8, int(filters + 4) // 8 * 8)


def _blocks(scale: Scale) -> Iterator[tuple[Stage, int, str, float]]:
    """Stage, stride, prefix of names and drop rate of each block."""
    # The rate goes by the depth before it is scaled, so that deeper networks go beyond it.
    total = sum(stage.depth for stage in scale.stages)
    done = 0
    for number, stage in enumerate(scale.stages, 1):
        for index in range(math.ceil(scale.depth * stage.depth)):
            strides = 1 if index else stage.strides
            yield stage, strides, f"block{number}{chr(97 + index)}_", DROP_RATE * done / total
            done += 1


def _normalized(x: KerasTensor, name: str) -> KerasTensor:
    return layers.BatchNormalization(axis=3, momentum=0.9, name=name)(x)


def _activated(x: KerasTensor, normalization: str, activation: str) -> KerasTensor:
    return layers.Activation(ACTIVATION, name=activation)(_normalized(x, normalization))


def _separable(x: KerasTensor, stage: Stage, filters: int, strides: int, name: str) -> KerasTensor:
    """Expansion, depthwise convolution, excitation, projection."""
    channels = channels_of(x)
    if stage.expansion != 1:
        x = convolved(x, channels * stage.expansion, 1, f"{name}expand_conv")
        x = _activated(x, f"{name}expand_bn", f"{name}expand_activation")
    x = layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=initializer(),
        name=f"{name}dwconv2",
    )(x)
    x = excited(_activated(x, f"{name}bn", f"{name}activation"), max(1, channels // 4), name)
    return _normalized(convolved(x, filters, 1, f"{name}project_conv"), f"{name}project_bn")


def _fused(x: KerasTensor, stage: Stage, filters: int, strides: int, name: str) -> KerasTensor:
    """A convolution that expands, and a projection; one for both where nothing is expanded."""
    if stage.expansion == 1:
        x = convolved(x, filters, 3, f"{name}project_conv", strides=strides)
        return _activated(x, f"{name}project_bn", f"{name}project_activation")
    inner = channels_of(x) * stage.expansion
    x = convolved(x, inner, 3, f"{name}expand_conv", strides=strides)
    x = _activated(x, f"{name}expand_bn", f"{name}expand_activation")
    return _normalized(convolved(x, filters, 1, f"{name}project_conv"), f"{name}project_bn")


def EfficientNetV2B0(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b0",
) -> Model:
    """For images of 224 x 224.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            normalized ones.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("b0", **locals())


def EfficientNetV2B1(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b1",
) -> Model:
    """For images of 240 x 240.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            normalized ones.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("b1", **locals())


def EfficientNetV2B2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b2",
) -> Model:
    """For images of 260 x 260.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            normalized ones.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("b2", **locals())


def EfficientNetV2B3(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b3",
) -> Model:
    """For images of 300 x 300.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            normalized ones.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("b3", **locals())


def EfficientNetV2S(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-s",
) -> Model:
    """For images of 384 x 384.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            from -1 to 1.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("s", **locals())


def EfficientNetV2M(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-m",
) -> Model:
    """For images of 480 x 480.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            from -1 to 1.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("m", **locals())


def EfficientNetV2L(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-l",
) -> Model:
    """For images of 480 x 480.

    Args:
        include_preprocessing: whether the model takes pixels from 0 to 255; else
            from -1 to 1.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return _build("l", **locals())


__all__ = [
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "decode_predictions",
    "preprocess_input",
]
