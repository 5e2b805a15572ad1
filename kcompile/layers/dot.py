"""The dot product of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.op import normalize_axis
from kcompile.layers.base import Layer

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Dot(Layer):
    """The sum of products along an axis of each of two tensors, for each sample.

    The result has the other axes of the first tensor, then those of the second; at least one of
    size 1.

    Args:
        axes: the axis of both, or one for each; not 0.
        normalize: whether to divide by the norms along the axes, which gives the cosine.
    """

    supports_masking = True

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pair = (axes, axes) if isinstance(axes, int) else axes
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or 0 in pair:
            raise SpecError(
                f"axes is an int or two of them, and none is 0, got {axes!r}",
                where=f"layer '{self.name}'",
            )
        self.axes = axes
        self.normalize = normalize

    def call(self, inputs: Sequence[Any]) -> Any:
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise SpecError("needs a list of 2 tensors", where=f"layer '{self.name}'")
        pair = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        axes = [normalize_axis(axis, x.ndim) for axis, x in zip(pair, inputs, strict=True)]
        if self.normalize:
            inputs = [ops.normalize(x, axis) for x, axis in zip(inputs, axes, strict=True)]
        first = list(_LETTERS[: inputs[0].ndim])
        second = [first[0], *_LETTERS[len(first) : len(first) + inputs[1].ndim - 1]]
        second[axes[1]] = first[axes[0]]
        kept = [label for label in (*first, *second[1:]) if label != first[axes[0]]]
        equation = f"{''.join(first)},{''.join(second)}->{''.join(kept)}"
        y = ops.einsum(equation, *inputs)
        return ops.expand_dims(y, -1) if y.ndim == 1 else y

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: the steps of the inputs are not those of the result."""


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **kwargs: Any) -> Any:
    """The sum of products along an axis of each of two tensors, for each sample."""
    return Dot(axes, **kwargs)(inputs)
