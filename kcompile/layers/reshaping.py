"""Layers that pad, crop and repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST, spatial_axes
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format, check_rank
from kcompile.ops.image import crop

Pair = tuple[int, int]


def _pair(value: Any, what: str, where: str) -> Pair:
    """A number for both sides, or one for each.

    Raises:
        SpecError: it is neither.
    """
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(number, int) or number < 0 for number in pair):
        raise SpecError(f"{what} {value!r} is not understood", where=where)
    return pair


def _pairs(value: Any, num_axes: int, what: str, where: str) -> tuple[Pair, ...]:
    """A number for all axes, or a number or pair for each of them."""
    entries = (value,) * num_axes if isinstance(value, int) else tuple(value)
    if len(entries) != num_axes:
        raise SpecError(f"{what} needs {num_axes} entries, got {value!r}", where=where)
    return tuple(_pair(entry, what, where) for entry in entries)


class _ZeroPadding(Layer):
    """Zeros around the spatial axes of `[N, S..., C]`."""

    num_axes: ClassVar[int]

    def __init__(
        self, padding: int | Sequence[Any] = 1, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.padding: Any = _pairs(padding, self.num_axes, "padding", where)
        self.data_format = check_format(data_format, where)

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)

    @property
    def _widths(self) -> tuple[Pair, ...]:
        return self.padding

    def call(self, inputs: Any) -> Any:
        none = (0, 0)
        if self.data_format == CHANNELS_LAST:
            return ops.pad(inputs, (none, *self._widths, none))
        return ops.pad(inputs, (none, none, *self._widths))


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps of `[N, T, C]`: a number, or `(before, after)`."""

    num_axes = 1

    def __init__(
        self, padding: int | Sequence[int] = 1, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(0, data_format, **kwargs)
        self.padding = _pair(padding, "padding", f"layer '{self.name}'")

    @property
    def _widths(self) -> tuple[Pair, ...]:
        return (self.padding,)


class ZeroPadding2D(_ZeroPadding):
    """Zeros around `[N, H, W, C]`: a number, one per axis, or `((top, bottom), (left, right))`."""

    num_axes = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around `[N, D, H, W, C]`: a number, or a number or pair per axis."""

    num_axes = 3


class _Cropping(Layer):
    """`[N, S..., C]` without elements at both ends of its spatial axes."""

    num_axes: ClassVar[int]
    data_format: str

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)

    def _crop(self, inputs: Any, pairs: tuple[Pair, ...]) -> Any:
        axes = spatial_axes(inputs.type.rank, self.data_format)
        sizes = [inputs.type.shape[axis] for axis in axes]
        for size, pair in zip(sizes, pairs, strict=True):
            if isinstance(size, int) and sum(pair) >= size:
                raise ShapeError(f"cropping {pair} leaves nothing of {size} elements")
        limits = [size - after for size, (_, after) in zip(sizes, pairs, strict=True)]
        return crop(inputs, axes, [before for before, _ in pairs], limits)


class Cropping1D(_Cropping):
    """`[N, T, C]` without its first and last steps: a number, or `(before, after)`."""

    num_axes = 1
    data_format = CHANNELS_LAST

    def __init__(self, cropping: int | Sequence[int] = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = _pair(cropping, "cropping", f"layer '{self.name}'")

    def call(self, inputs: Any) -> Any:
        return self._crop(inputs, (self.cropping,))


class _CroppingOfImages(_Cropping):
    def __init__(
        self, cropping: int | Sequence[Any] = 0, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.cropping = _pairs(cropping, self.num_axes, "cropping", where)
        self.data_format = check_format(data_format, where)

    def call(self, inputs: Any) -> Any:
        return self._crop(inputs, self.cropping)


class Cropping2D(_CroppingOfImages):
    """`[N, H, W, C]` without its edges: a number, or a number or pair per axis."""

    num_axes = 2


class Cropping3D(_CroppingOfImages):
    """`[N, D, H, W, C]` without its edges: a number, or a number or pair per axis."""

    num_axes = 3

    def __init__(
        self, cropping: int | Sequence[Any] = 1, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class RepeatVector(Layer):
    """`[N, C]` to `[N, n, C]`: the same n times."""

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise SpecError(
                f"n must be a positive integer, got {n!r}", where=f"layer '{self.name}'"
            )
        self.n = n

    def call(self, inputs: Any) -> Any:
        if inputs.type.rank != 2:
            raise ShapeError(f"needs an input of rank 2, got {inputs.type}")
        batch, size = inputs.type.shape
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (batch, self.n, size))
