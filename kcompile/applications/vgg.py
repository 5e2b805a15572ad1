"""What VGG16 and VGG19 share (Simonyan and Zisserman, 2014; arXiv:1409.1556)."""

from __future__ import annotations

from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, Published, published_pair
from kcompile.models import Model

FILTERS = (64, 128, 256, 512, 512)
BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"


def published(name: str, md5: str, md5_no_top: str) -> Published:
    """Where Keras's weights of a model are."""
    return published_pair(f"{BASE_URL}/{name}", name, md5, md5_no_top)


def build(depths: tuple[int, ...], files: Published, **arguments: Any) -> Model:
    """Blocks of so many 3 x 3 convolutions, a pooling after each; dense layers at the end."""
    options = Options(**arguments)
    x = options.image(default_size=224, min_size=32)
    for block, (filters, depth) in enumerate(zip(FILTERS, depths, strict=True), 1):
        for index in range(1, depth + 1):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"block{block}_conv{index}"
            )(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    if options.include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = options.classify(x)
    else:
        x = options.pool(x)
    return options.finish(x, files)
