"""Layers that pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format


class ZeroPadding2D(Layer):
    """Zeros around `[N, H, W, C]`: a number, one per axis, or `((top, bottom), (left, right))`."""

    def __init__(
        self, padding: int | Sequence[Any] = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.padding = self._pairs(padding)
        self.data_format = check_format(data_format, f"layer '{self.name}'")

    def _pairs(self, padding: int | Sequence[Any]) -> tuple[tuple[int, int], ...]:
        entries = (padding,) * 2 if isinstance(padding, int) else tuple(padding)
        pairs = tuple((p, p) if isinstance(p, int) else tuple(p) for p in entries)
        if len(pairs) != 2 or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
            raise SpecError(f"padding {padding!r} is not understood", where=f"layer '{self.name}'")
        return pairs

    def call(self, inputs: Any) -> Any:
        none = (0, 0)
        if self.data_format == CHANNELS_LAST:
            return ops.pad(inputs, (none, *self.padding, none))
        return ops.pad(inputs, (none, none, *self.padding))
