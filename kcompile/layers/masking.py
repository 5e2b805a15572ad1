"""Masking: steps that say nothing."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.layers.base import Layer
from kcompile.layers.masks import with_mask


class Masking(Layer):
    """x `[N, T, ...]`, masked and 0 where all elements of a step equal `mask_value`."""

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        mask = self.compute_mask(inputs)
        return with_mask(ops.where(ops.expand_dims(mask, -1), inputs, 0), mask)
