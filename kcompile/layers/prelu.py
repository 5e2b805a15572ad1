"""The activation layer with weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import constraints, initializers, regularizers
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels
from kcompile.ops.nn import prelu


class PReLU(Layer):
    """`x where x > 0, else alpha * x`, alpha a weight for each element (He et al., 2015).

    Args:
        shared_axes: axes, counted from 1 after the batch, along which alpha is the same.
        Others: as in Keras.
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else list(axes)

    def build(self, input_shape: Any) -> None:
        shared = self.shared_axes or []
        shape = tuple(
            1 if axis in shared else check_channels(self.name, input_shape[axis], axis)
            for axis in range(1, len(input_shape))
        )
        self.alpha = self.add_weight(
            shape,
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )

    def call(self, inputs: Any) -> Any:
        return prelu(inputs, self.alpha)
