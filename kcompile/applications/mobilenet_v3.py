"""MobileNetV3 (Howard et al., 2019; arXiv:1905.02244)."""

from __future__ import annotations

from typing import Any, NamedTuple

from kcompile import layers
from kcompile.applications.building import Options, Published, channels_of, weights_file
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_nothing
from kcompile.applications.mobile import divisible, normalized, padding_for, published_size
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3"
#: MD5 with the classifier and without.
CHECKSUMS = {
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": (
        "675e7b876c45c57e9e63e6d90a36599c",
        "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": (
        "99cd97fb2fcdad2bf028eb838de69e37",
        "cde8136e733e811080d9fcd8a252f7e4",
    ),
}

preprocess_input = preprocess_nothing


class Block(NamedTuple):
    """An inverted residual block.

    Attributes:
        expansion: what the number of maps is multiplied by inside.
        filters: maps that it makes.
        is_wide: whether the kernel is 5 x 5, where the network is not minimalistic.
        strides: of the depthwise convolution.
        excites: whether it has squeeze and excitation, where the network is not minimalistic.
        is_hard: whether the activation is hard swish rather than ReLU, under the same condition.
    """

    expansion: float
    filters: int
    is_wide: bool
    strides: int
    excites: bool
    is_hard: bool


SMALL = (
    Block(1, 16, False, 2, True, False),
    Block(72.0 / 16, 24, False, 2, False, False),
    Block(88.0 / 24, 24, False, 1, False, False),
    Block(4, 40, True, 2, True, True),
    *(Block(6, 40, True, 1, True, True),) * 2,
    *(Block(3, 48, True, 1, True, True),) * 2,
    Block(6, 96, True, 2, True, True),
    *(Block(6, 96, True, 1, True, True),) * 2,
)
LARGE = (
    Block(1, 16, False, 1, False, False),
    Block(4, 24, False, 2, False, False),
    Block(3, 24, False, 1, False, False),
    Block(3, 40, True, 2, True, False),
    *(Block(3, 40, True, 1, True, False),) * 2,
    Block(6, 80, False, 2, False, True),
    Block(2.5, 80, False, 1, False, True),
    *(Block(2.3, 80, False, 1, False, True),) * 2,
    *(Block(6, 112, False, 1, True, True),) * 2,
    Block(6, 160, True, 2, True, True),
    *(Block(6, 160, True, 1, True, True),) * 2,
)


def MobileNetV3Small(
    input_shape: Any = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    classes: int = 1000,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "MobileNetV3Small",
) -> Model:
    """11 inverted residual blocks; for images of 224 x 224, and any size.

    Args:
        alpha: width: what the numbers of maps are multiplied by.
        minimalistic: without 5 x 5 kernels, hard swish, squeeze and excitation.
        dropout_rate: rate before the classifier.
        include_preprocessing: whether the model takes pixels from 0 to 255; else from -1 to 1.

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
        name,
    )
    network = _Network(alpha, minimalistic)
    return _build(options, network, SMALL, "small", 1024, dropout_rate, include_preprocessing)


def MobileNetV3Large(
    input_shape: Any = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    classes: int = 1000,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "MobileNetV3Large",
) -> Model:
    """15 inverted residual blocks; for images of 224 x 224, and any size.

    Args:
        alpha: width: what the numbers of maps are multiplied by.
        minimalistic: without 5 x 5 kernels, hard swish, squeeze and excitation.
        dropout_rate: rate before the classifier.
        include_preprocessing: whether the model takes pixels from 0 to 255; else from -1 to 1.

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
        name,
    )
    network = _Network(alpha, minimalistic)
    return _build(options, network, LARGE, "large", 1280, dropout_rate, include_preprocessing)


def _build(
    options: Options,
    network: _Network,
    blocks: tuple[Block, ...],
    kind: str,
    last_filters: int,
    dropout_rate: float,
    include_preprocessing: bool,
) -> Model:
    x = options.image(224, 32, needs_size=False)
    published = _published(options, network, kind) if options.is_imagenet else None
    if include_preprocessing:
        x = layers.Rescaling(scale=1.0 / 127.5, offset=-1.0)(x)
    x = network.features(x, blocks)
    if not options.include_top:
        return options.finish(options.pool(x, avg="avg_pool", max="max_pool"), published)
    filters = divisible(last_filters * network.alpha) if network.alpha > 1.0 else last_filters
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(filters, 1, padding="same", name="conv_2")(x)
    x = network.activated(x, True)
    if dropout_rate > 0:
        x = layers.Dropout(dropout_rate)(x)
    x = layers.Conv2D(options.classes, 1, padding="same", name="logits")(x)
    x = layers.Flatten()(x)
    x = layers.Activation(options.classifier_activation, name="predictions")(x)
    return options.finish(x, published)


def _published(options: Options, network: _Network, kind: str) -> Published:
    """Where the weights of ImageNet are."""
    alpha = float(network.alpha)
    stem = f"{kind}{'_minimalistic' if network.minimalistic else ''}_224_{alpha}"
    if stem not in CHECKSUMS:
        options.refuse(f"weights of ImageNet are published for {', '.join(CHECKSUMS)}, not {stem}")
    published_size(options.shape(224, 32, False), (224,))
    top, no_top = CHECKSUMS[stem]
    return Published(
        weights_file(BASE_URL, f"weights_mobilenet_v3_{stem}_float.h5", top),
        weights_file(BASE_URL, f"weights_mobilenet_v3_{stem}_float_no_top_v2.h5", no_top),
    )


class _Network:
    """Builds the layers.

    Args:
        alpha: width: what the numbers of maps are multiplied by.
        minimalistic: 3 x 3 kernels, ReLU, and no squeeze and excitation, throughout.
    """

    def __init__(self, alpha: float, minimalistic: bool) -> None:
        self.alpha = alpha
        self.minimalistic = minimalistic

    def features(self, x: KerasTensor, blocks: tuple[Block, ...]) -> KerasTensor:
        """The last feature maps of an image."""
        x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
        x = self.activated(normalized(x, "conv_bn"), True)
        for number, block in enumerate(blocks):
            prefix = f"expanded_conv_{number}_" if number else "expanded_conv_"
            x = self.block(x, block, bool(number), prefix)
        last = divisible(channels_of(x) * 6)
        x = layers.Conv2D(last, 1, padding="same", use_bias=False, name="conv_1")(x)
        return self.activated(normalized(x, "conv_1_bn"), True)

    def activated(self, x: KerasTensor, is_hard: bool) -> KerasTensor:
        if is_hard and not self.minimalistic:
            return layers.Activation("hard_swish")(x)
        return layers.ReLU()(x)

    def block(self, x: KerasTensor, block: Block, expands: bool, prefix: str) -> KerasTensor:
        """Expansion, depthwise convolution, excitation, projection; added where that fits."""
        channels = channels_of(x)
        inner = divisible(channels * block.expansion)
        filters = divisible(block.filters * self.alpha)
        kernel = 5 if block.is_wide and not self.minimalistic else 3
        y = x
        if expands:
            y = layers.Conv2D(inner, 1, padding="same", use_bias=False, name=f"{prefix}expand")(y)
            y = self.activated(normalized(y, f"{prefix}expand_bn"), block.is_hard)
        if block.strides == 2:
            y = layers.ZeroPadding2D(padding_for(y, kernel), name=f"{prefix}depthwise_pad")(y)
        y = layers.DepthwiseConv2D(
            kernel,
            strides=block.strides,
            padding="same" if block.strides == 1 else "valid",
            use_bias=False,
            name=f"{prefix}depthwise",
        )(y)
        y = self.activated(normalized(y, f"{prefix}depthwise_bn"), block.is_hard)
        if block.excites and not self.minimalistic:
            y = _excited(y, inner, f"{prefix}squeeze_excite_")
        y = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(y)
        y = normalized(y, f"{prefix}project_bn")
        if block.strides == 1 and channels == filters:
            return layers.Add(name=f"{prefix}add")([x, y])
        return y


def _excited(x: KerasTensor, filters: int, prefix: str) -> KerasTensor:
    """Each map times a number between 0 and 1 that follows from the means of all."""
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}avg_pool")(x)
    y = layers.Conv2D(divisible(filters * 0.25), 1, padding="same", name=f"{prefix}conv")(y)
    y = layers.ReLU(name=f"{prefix}relu")(y)
    y = layers.Conv2D(filters, 1, padding="same", name=f"{prefix}conv_1")(y)
    y = layers.ReLU(6.0)(y + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{prefix}mul")([x, y])


__all__ = ["MobileNetV3Large", "MobileNetV3Small", "decode_predictions", "preprocess_input"]
