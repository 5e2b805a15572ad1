"""VGG19 (Simonyan and Zisserman, 2014; arXiv:1409.1556)."""

from __future__ import annotations

from typing import Any

from kcompile.applications.imagenet_utils import decode_predictions, preprocess_caffe
from kcompile.applications.vgg import build, published
from kcompile.models import Model

PUBLISHED = published(
    "vgg19", "cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"
)

preprocess_input = preprocess_caffe


def VGG19(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg19",
) -> Model:
    """16 convolutions in five blocks, then three dense layers; for images of 224 x 224.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    return build((2, 2, 4, 4, 4), PUBLISHED, **locals())


__all__ = ["VGG19", "decode_predictions", "preprocess_input"]
