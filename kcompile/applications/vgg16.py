"""VGG16 (Simonyan and Zisserman, 2014; arXiv:1409.1556)."""

from __future__ import annotations

from typing import Any

from kcompile.applications.imagenet_utils import decode_predictions, preprocess_caffe
from kcompile.applications.vgg import build, published
from kcompile.models import Model

PUBLISHED = published(
    "vgg16", "64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"
)

preprocess_input = preprocess_caffe


def VGG16(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg16",
) -> Model:
    """13 convolutions in five blocks, then three dense layers; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((2, 2, 3, 3, 3), PUBLISHED, **locals())


__all__ = ["VGG16", "decode_predictions", "preprocess_input"]
