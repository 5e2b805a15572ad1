"""What all image classifiers share: arguments, input, classifier, published weights."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

from kcompile import activations, layers
from kcompile.ir.errors import SpecError
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor
from kcompile.utils.files import get_file
from kcompile.utils.tensors import get_source_inputs

IMAGENET = "imagenet"
NUM_IMAGENET_CLASSES = 1000

Shape = tuple[int | None, ...]


def channels_of(x: KerasTensor) -> int:
    """The number of feature maps of `[N, H, W, C]`."""
    channels = x.shape[-1]
    assert channels is not None
    return channels


@dataclass(frozen=True)
class PublishedFile:
    """A weights file of Keras: its name in the cache, where it is, and its MD5, if it is known."""

    name: str
    origin: str
    md5: str | None


def weights_file(base_url: str, name: str, md5: str | None = None) -> PublishedFile:
    """The file of that name in a folder on the web; of some, Keras tells no checksum."""
    return PublishedFile(name, f"{base_url}/{name}", md5)


def published_pair(base_url: str, name: str, md5: str, md5_no_top: str) -> Published:
    """The files of a model as most of Keras's are named."""
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return Published(
        weights_file(base_url, f"{stem}.h5", md5),
        weights_file(base_url, f"{stem}_notop.h5", md5_no_top),
    )


@dataclass(frozen=True)
class Published:
    """The weights files of a model trained on ImageNet, with its classifier and without."""

    top: PublishedFile
    no_top: PublishedFile

    def choose(self, include_top: bool) -> PublishedFile:
        return self.top if include_top else self.no_top


@dataclass(frozen=True)
class Options:
    """The arguments that every application takes, in Keras's names; checked when made.

    Args:
        include_top: whether the classifier is part of the model.
        weights: None, imagenet, or a path.
        input_tensor: a tensor of a functional model to build on, instead of a new input.
        input_shape: `(H, W, C)` of one image.
        pooling: None, avg or max: what becomes of the last feature maps without classifier.
        classes: number of classes.
        classifier_activation: that of the last layer; None for logits.
        name: name of the model.

    Raises:
        SpecError: arguments that don't go together, or weights that are none of these.
    """

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Shape | None
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str

    def __post_init__(self) -> None:
        if self.pooling not in (None, "avg", "max"):
            self.refuse(f"pooling is None, 'avg' or 'max', not {self.pooling!r}")
        if self.weights is None:
            return
        if not self.is_imagenet and not os.path.exists(self.weights):
            self.refuse(
                f"weights is None, 'imagenet' or the path of a file, not {self.weights!r}",
                "There is no such file",
            )
        if not self.include_top:
            return
        if self.is_imagenet and self.classes != NUM_IMAGENET_CLASSES:
            self.refuse(
                f"the weights of ImageNet know 1000 classes, not {self.classes}",
                "Leave the classifier out (include_top=False), or train from weights=None",
            )
        if activations.get(self.classifier_activation) not in (
            activations.get(None),
            activations.get("softmax"),
        ):
            self.refuse(
                "classifier_activation is None or 'softmax' for weights that were trained with"
                f" softmax, not {self.classifier_activation!r}"
            )

    def refuse(self, message: str, hint: str | None = None) -> None:
        raise SpecError(message, where=self.name, hint=hint)

    @property
    def is_imagenet(self) -> bool:
        return isinstance(self.weights, str) and self.weights == IMAGENET

    def image(
        self, default_size: int, min_size: int, needs_size: bool | None = None
    ) -> KerasTensor:
        """The tensor that the network begins with, `[N, H, W, C]`.

        Args:
            default_size: height and width of the images that the network was published for.
            min_size: the smallest height and width that leave something at the end.
            needs_size: whether height and width must be known; by default with the classifier.
        """
        if needs_size is None:
            needs_size = self.include_top
        shape = self.shape(default_size, min_size, needs_size)
        if isinstance(self.input_tensor, KerasTensor):
            return self.input_tensor
        if self.input_tensor is not None:
            self.refuse(f"input_tensor is no tensor of a model: {self.input_tensor!r}")
        return layers.Input(shape)

    def shape(self, default_size: int, min_size: int, needs_size: bool) -> Shape:
        """The shape of one image `(H, W, C)`; the arguments are those of `image`."""
        shape = None if self.input_shape is None else tuple(self.input_shape)
        if shape is None:
            return (default_size, default_size, 3) if needs_size else (None, None, 3)
        if len(shape) != 3:
            self.refuse(f"input_shape is (height, width, channels), not {shape}")
        if self.is_imagenet:
            published = (default_size, default_size, 3)
            if needs_size and shape != published:
                self.refuse(
                    f"with its classifier and the weights of ImageNet, the input is {published},"
                    f" not {shape}"
                )
            if shape[-1] != 3:
                self.refuse(f"the weights of ImageNet want 3 channels, not {shape[-1]}")
        elif shape[-1] not in (1, 3):
            warnings.warn(
                f"{self.name} is for images of 1 or 3 channels, and gets {shape[-1]}",
                stacklevel=4,
            )
        if any(size is not None and size < min_size for size in shape[:2]):
            self.refuse(f"images are at least {min_size} x {min_size}, not {shape[:2]}")
        if needs_size and None in shape:
            self.refuse(f"the classifier wants a known input_shape, got {shape}")
        return shape

    def pool(self, x: KerasTensor, avg: str | None = None, max: str | None = None) -> KerasTensor:
        """The last feature maps `[N, H, W, C]` without classifier: pooled as was asked for.

        Args:
            avg, max: names of the pooling layers; by default those that a counter gives.
        """
        if self.pooling is None:
            return x
        if self.pooling == "avg":
            return layers.GlobalAveragePooling2D(name=avg)(x)
        return layers.GlobalMaxPooling2D(name=max)(x)

    def classify(self, x: KerasTensor, name: str = "predictions", **options: Any) -> KerasTensor:
        """Scores `[N, classes]` from features `[N, F]`, by the last dense layer."""
        return layers.Dense(
            self.classes, activation=self.classifier_activation, name=name, **options
        )(x)

    def finish(self, outputs: KerasTensor, published: Published | None) -> Model:
        """The model that ends in `outputs`, with its weights loaded.

        Args:
            published: where the weights of ImageNet are.
        """
        tensor = self.input_tensor if self.input_tensor is not None else outputs
        sources = get_source_inputs(tensor)
        model = Model(sources[0] if len(sources) == 1 else sources, outputs, name=self.name)
        if self.is_imagenet:
            if published is None:
                self.refuse("no weights of ImageNet are published for these arguments")
                raise AssertionError
            file = published.choose(self.include_top)
            model.load_weights(
                get_file(file.name, file.origin, file_hash=file.md5, cache_subdir="models")
            )
        elif self.weights is not None:
            model.load_weights(self.weights)
        return model
