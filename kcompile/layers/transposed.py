"""Transposed convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile import activations, constraints, initializers, regularizers
from kcompile.ir.errors import SpecError
from kcompile.layers.convolutional import Convolution


class _ConvTranspose(Convolution):
    """`y = activation(conv_transpose(x, w) + b)`, x `[N, S..., C]`, w `[K..., filters, C]`.

    Args: as in Keras; sizes of the output are those of `ops.conv_transpose`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if not isinstance(filters, int) or filters < 1:
            raise SpecError(
                f"filters must be a positive integer, got {filters!r}", where=f"layer '{self.name}'"
            )
        self.filters = filters
        self.set_windows(kernel_size, strides, padding, data_format, dilation_rate)
        self.output_padding = self._output_padding(output_padding)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _output_padding(self, value: int | Sequence[int] | None) -> tuple[int, ...] | None:
        """A number below the stride for each axis."""
        if value is None:
            return None
        numbers = (value,) * self.num_axes if isinstance(value, int) else tuple(value)
        if len(numbers) != self.num_axes or not all(
            0 <= number < stride for number, stride in zip(numbers, self.strides, strict=True)
        ):
            raise SpecError(
                f"output_padding needs {self.num_axes} numbers below strides {self.strides},"
                f" got {value!r}",
                where=f"layer '{self.name}'",
            )
        return numbers

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            (*self.kernel_size, self.filters, self.input_channels(input_shape)),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.add_bias(self.filters)

    def call(self, inputs: Any) -> Any:
        y = ops.conv_transpose(
            inputs,
            self.kernel,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )
        return self.activate(y)


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution of `[N, T, C]` to `[N, T', filters]`."""

    num_axes = 1


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution of `[N, H, W, C]` to `[N, H', W', filters]`."""

    num_axes = 2


class Conv3DTranspose(_ConvTranspose):
    """Transposed convolution of `[N, D, H, W, C]` to `[N, D', H', W', filters]`."""

    num_axes = 3
