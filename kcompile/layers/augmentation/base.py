"""What all layers for images have in common: what is drawn, and what it does to images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format
from kcompile.ops.dispatch import has_keras_tensor
from kcompile.ops.image import image_axes
from kcompile.ops.random import SeedGenerator, SeedParts, eager_key, uniform
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import current_trace, emit, require_trace, run_eagerly

Numbers = float | Sequence[float]


class ImageAugmentation(Layer):
    """A layer of images `[N, H, W, C]` or `[H, W, C]`, or of a dict with the key `images`.

    Other keys of the dict are `labels` and `segmentation_masks`, changed as the images are.
    Called on arrays outside a model it trains unless told otherwise, as in Keras; in a model it
    goes by the model's mode.

    Args:
        data_format: channels_last or channels_first.
        bounding_box_format: accepted as in Keras; bounding boxes are not there yet.
    """

    #: Whether images are cast to the compute dtype, whatever the mode.
    casts_images: ClassVar[bool] = True
    #: Whether it draws numbers; otherwise `change` gets an empty transformation.
    is_random: ClassVar[bool] = True
    #: Whether it computes at inference, too.
    is_for_inference: ClassVar[bool] = False
    #: Whether elements change places, in segmentation masks too.
    moves_elements: ClassVar[bool] = False

    seed: int | None = None
    interpolation: str = "bilinear"

    def __init__(
        self,
        *,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = check_format(data_format, f"layer '{self.name}'")
        self.bounding_box_format = bounding_box_format
        self.generator = SeedGenerator()

    def _set_seed(self, seed: int | None) -> None:
        self.seed = seed
        self.generator = SeedGenerator(seed)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.bounding_box_format is None:
            del config["bounding_box_format"]
        return config

    # What subclasses say

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        """Random numbers for a batch of images; None to leave them as they are."""
        return {}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        """A batch of images, changed by what was drawn."""
        raise NotImplementedError(f"{type(self).__name__} has no change")

    def change_labels(self, labels: TracedTensor, transformation: Any) -> Any:
        """The labels of changed images."""
        return labels

    # Keras's methods

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current_trace() is not None or has_keras_tensor(args, kwargs):
            return super().__call__(*args, **kwargs)
        args, kwargs = self._name_training(args, kwargs)
        training = kwargs["training"] = kwargs.get("training") in (None, True)
        key = eager_key(self.generator)
        return run_eagerly(self.name, self._call_traced, args, kwargs, training=training, rng=key)

    def call(self, data: Any, training: bool = False) -> Any:
        transformation = self.get_random_transformation(data, training)
        if not isinstance(data, dict):
            return self.transform_images(data, transformation, training)
        if "images" not in data:
            raise SpecError(f"a dict of inputs needs the key 'images', got {sorted(data)}")
        methods = {
            "images": self.transform_images,
            "labels": self.transform_labels,
            "segmentation_masks": self.transform_segmentation_masks,
        }
        unknown = sorted(set(data) - set(methods))
        if unknown:
            raise NotImplementedError(
                f"{type(self).__name__}: {', '.join(unknown)} beside images are not there yet;"
                " labels and segmentation_masks are"
            )
        return {key: methods[key](value, transformation, training) for key, value in data.items()}

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """What is drawn for these images; the keys of the dict are Keras's."""
        if not training:
            return None

        def draw(data: Any, seed: Any) -> Any:
            images = data["images"] if isinstance(data, dict) else data
            if seed is not None and not isinstance(seed, SeedGenerator):
                seed = SeedParts(seed)  # so that no two draws have the same numbers
            return self.draw(_batch(require_trace().convert(images))[0], seed)

        return self._run(draw, data, seed)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Images changed by what was drawn."""
        return self._run(
            lambda x, drawn: self._changed(x, drawn, training, self.interpolation),
            images,
            transformation,
        )

    def transform_labels(
        self, labels: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """The labels of images changed by what was drawn."""
        if not training or transformation is None:
            return labels
        return self._run(
            lambda y, drawn: self.change_labels(require_trace().convert(y), drawn),
            labels,
            transformation,
        )

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Segmentation masks of images changed by what was drawn."""
        if not self.moves_elements:
            return segmentation_masks
        return self._run(
            lambda x, drawn: self._changed(x, drawn, training, "nearest"),
            segmentation_masks,
            transformation,
        )

    def transform_bounding_boxes(self, *args: Any, **kwargs: Any) -> Any:
        """Refused for now."""
        raise NotImplementedError(f"{type(self).__name__}: bounding boxes are not there yet")

    # Helpers

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        if current_trace() is not None:
            return function(*args)
        key = eager_key(self.generator)
        return run_eagerly(self.name, function, args, {}, training=True, rng=key)

    def _changed(self, images: Any, drawn: Any, training: bool, interpolation: str) -> Any:
        x = require_trace().convert(images)
        if self.casts_images:
            x = ops.cast(x, self.compute_dtype)
        if not self.is_random:
            drawn = {}
        if drawn is None or not (training or self.is_for_inference):
            return x
        batch, single = _batch(x)
        y = self.change(batch, drawn, interpolation)
        return ops.squeeze(y, 0) if single else y

    def _axes(self, images: TracedTensor) -> tuple[int, int]:
        """The axes of height and width."""
        return image_axes(images.type.rank, self.data_format)

    def _channel_axis(self, images: TracedTensor) -> int:
        height = self._axes(images)[0]
        return height + 2 if self.data_format == "channels_last" else height - 1

    def _uniform(self, shape: Sequence[Any], low: float, high: float, seed: Any) -> Any:
        """Uniform numbers `f32` in [low, high)."""
        return uniform(shape, low, high, seed=self.generator if seed is None else seed)

    def _applies(self, images: TracedTensor, factor: tuple[float, float], seed: Any) -> Any:
        """Whether each image is changed `[N]`, with a probability drawn from a range."""
        shape = images.type.shape[:1]
        probability = self._uniform(shape, *factor, seed)
        return self._uniform(shape, 0.0, 1.0, seed) < probability

    def draw_boxes(
        self, images: TracedTensor, width: Any, height: Any, seed: Any
    ) -> tuple[Any, Any]:
        """A rectangle at a random place in each image, and its share of the area `[N]`.

        Args:
            width, height: the sides `[N]` as shares of those of the image.

        Returns: whether each element is inside `[N, H, W, C]`, and the shares.
        """
        inside = None
        area: Any = 1.0
        for axis, share in zip(self._axes(images)[::-1], (width, height), strict=True):
            length = float_size(images, axis)
            side = share * length
            start = self._uniform(images.type.shape[:1], 0.0, 1.0, seed) * (length - side)
            shape = [1] * images.type.rank
            shape[axis] = -1
            place = ops.reshape(emit(ir.Iota(images.type.shape[axis], DType.FLOAT32)), shape)
            here = ops.logical_and(place >= per_image(start), place < per_image(start + side))
            inside = here if inside is None else ops.logical_and(inside, here)
            area = area * (side / length)
        return ops.broadcast_to(inside, images.type.shape), area

    def _fixed_sizes(self, images: TracedTensor) -> tuple[int, int]:
        """Height and width, which must be numbers."""
        height, width = (images.type.shape[axis] for axis in self._axes(images))
        if not (isinstance(height, int) and isinstance(width, int)):
            raise ShapeError(f"needs images of a fixed height and width, got {images.type}")
        return height, width

    def _num_channels(self, images: TracedTensor) -> int:
        size = images.type.shape[self._channel_axis(images)]
        if not isinstance(size, int):
            raise ShapeError(f"needs channels whose number is known, got {images.type}")
        return size

    def _range(self, value: Any, name: str, low: float, high: float) -> tuple[float, float]:
        """The range that a factor stands for: two numbers, or one and its negative.

        Raises:
            SpecError: it is neither, or lies outside [low, high].
        """
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        if len(numbers) not in (1, 2) or any(
            isinstance(n, bool) or not isinstance(n, (int, float)) or not low <= n <= high
            for n in numbers
        ):
            raise SpecError(
                f"{name} is a number in [{low}, {high}] or two of them, got {value!r}",
                where=f"layer '{self.name}'",
            )
        if isinstance(value, (list, tuple)):
            return min(numbers), max(numbers)
        return max(-abs(value), low), abs(value)

    def _value_range(self, value: Sequence[float]) -> list[float]:
        """The least and the greatest value of images."""
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise SpecError(
                f"value_range is two numbers, got {value!r}", where=f"layer '{self.name}'"
            )
        return sorted(value)


def _batch(x: TracedTensor) -> tuple[TracedTensor, bool]:
    """Images as a batch, and whether there was one alone."""
    if x.type.rank not in (3, 4):
        raise ShapeError(f"needs an image (rank 3) or a batch of them (rank 4), got {x.type}")
    return (ops.expand_dims(x, 0), True) if x.type.rank == 3 else (x, False)


def float_size(x: TracedTensor, axis: int) -> Any:
    """The size of an axis: a number, or a tensor where it is open."""
    size = x.type.shape[axis]
    return float(size) if isinstance(size, int) else emit(ir.DimSize(size, DType.FLOAT32))


def per_image(value: Any, dtype: str | None = None) -> Any:
    """A number for each image as `[N, 1, 1, 1]`."""
    value = ops.reshape(value, (-1, 1, 1, 1))
    return value if dtype is None else ops.cast(value, dtype)


def rescaled(x: Any, old: Sequence[float], new: Sequence[float]) -> Any:
    """x from the range `old` to the range `new`."""
    if tuple(old) == tuple(new):
        return x
    return (x - float(old[0])) / float(old[1] - old[0]) * float(new[1] - new[0]) + float(new[0])
