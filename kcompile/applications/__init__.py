"""Image classifiers of Keras, with its layer names, weights and preprocessing."""

from __future__ import annotations

import importlib
from typing import Any

#: Module -> its models; it is imported when one of them is asked for.
_MODULES = {
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "efficientnet": tuple(f"EfficientNetB{number}" for number in range(8)),
    "efficientnet_v2": tuple(
        f"EfficientNetV2{kind}" for kind in ("B0", "B1", "B2", "B3", "L", "M", "S")
    ),
    "imagenet_utils": (),
    "inception_v3": ("InceptionV3",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Large", "MobileNetV3Small"),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet50": (),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "xception": ("Xception",),
}
_MODELS = {model: module for module, models in _MODULES.items() for model in models}

__all__ = [*_MODELS, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"kcompile.applications.{name}")
    if name in _MODELS:
        return getattr(importlib.import_module(f"kcompile.applications.{_MODELS[name]}"), name)
    raise AttributeError(f"module 'kcompile.applications' has no attribute {name!r}")
