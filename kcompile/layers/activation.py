"""Activations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile import activations
from kcompile.layers.base import Layer


class ReLU(Layer):
    """`max(x, 0)`, with an upper bound, a slope below and a threshold if wanted."""

    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """`x where x > 0, else negative_slope * x`."""

    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def call(self, inputs: Any) -> Any:
        return ops.leaky_relu(inputs, self.negative_slope)


class ELU(Layer):
    """`x where x > 0, else alpha * (e^x - 1)`."""

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Any) -> Any:
        return ops.elu(inputs, self.alpha)


class Softmax(Layer):
    """`e^x / sum(e^x)` along an axis, or several.

    Call arguments:
        mask: bools that broadcast to x; elements where it is false are 0, and do not count.
    """

    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return ops.softmax(inputs, self.axis)
        kept = mask if mask.dtype == "bool" else ops.greater(mask, 0.5)
        least = -3e4 if inputs.dtype == "float16" else -1e9
        result = ops.softmax(ops.where(kept, inputs, least), self.axis)
        return ops.where(kept, result, 0.0)
