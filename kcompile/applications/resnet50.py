"""ResNet50 under the name that Keras has for it alone."""

from kcompile.applications.resnet import ResNet50, decode_predictions, preprocess_input

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
