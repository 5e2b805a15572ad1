"""What EfficientNet and EfficientNetV2 share."""

from __future__ import annotations

from kcompile import layers
from kcompile.applications.building import channels_of
from kcompile.initializers import VarianceScaling
from kcompile.ops.tensor import KerasTensor

ACTIVATION = "swish"


def classifier_initializer() -> VarianceScaling:
    return VarianceScaling(1.0 / 3.0, mode="fan_out", distribution="uniform")


def initializer() -> VarianceScaling:
    return VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def convolved(
    x: KerasTensor,
    filters: int,
    kernel: int,
    name: str,
    strides: int = 1,
    padding: str = "same",
    activation: str | None = None,
) -> KerasTensor:
    """A convolution; with a bias only where an activation follows at once."""
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        activation=activation,
        use_bias=activation is not None,
        kernel_initializer=initializer(),
        name=name,
    )(x)


def excited(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    """Each map times a number between 0 and 1 that follows from the means of all."""
    channels = channels_of(x)
    y = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    y = layers.Reshape((1, 1, channels), name=f"{name}se_reshape")(y)
    y = convolved(y, filters, 1, f"{name}se_reduce", activation=ACTIVATION)
    y = convolved(y, channels, 1, f"{name}se_expand", activation="sigmoid")
    return layers.Multiply(name=f"{name}se_excite")([x, y])
