"""Convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile import activations, initializers, regularizers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels


def per_axis(value: int | Sequence[int], num_axes: int, what: str, where: str) -> tuple[int, ...]:
    """A positive number for each spatial axis.

    Raises:
        SpecError: wrong length or not positive.
    """
    numbers = (value,) * num_axes if isinstance(value, int) else tuple(value)
    if len(numbers) != num_axes or any(not isinstance(n, int) or n < 1 for n in numbers):
        raise SpecError(f"{what} needs {num_axes} positive integers, got {value!r}", where=where)
    return numbers


def check_format(data_format: str | None, where: str) -> str:
    """`channels_last` by default.

    Raises:
        SpecError: it is neither channels_last nor channels_first.
    """
    if data_format not in (None, "channels_last", "channels_first"):
        raise SpecError(
            f"data_format is channels_last or channels_first, not {data_format!r}", where=where
        )
    return data_format or CHANNELS_LAST


def check_rank(name: str, input_shape: Any, num_axes: int) -> None:
    """Check that the input has a batch, `num_axes` spatial axes and channels.

    Raises:
        ShapeError: it has not.
    """
    if len(input_shape) != num_axes + 2:
        raise ShapeError(
            f"needs an input of rank {num_axes + 2} (batch, {num_axes} spatial, channels),"
            f" got shape {tuple(input_shape)}",
            where=f"layer '{name}'",
        )


class _Conv(Layer):
    """`y = activation(conv(x, w) + b)`, x `[N, S..., C]`, w `[K..., C / groups, filters]`."""

    num_axes: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
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
        where = f"layer '{self.name}'"
        if not isinstance(filters, int) or filters < 1 or filters % groups:
            raise SpecError(
                f"filters must be a positive multiple of groups ({groups}), got {filters!r}",
                where=where,
            )
        self.filters = filters
        self.kernel_size = per_axis(kernel_size, self.num_axes, "kernel_size", where)
        self.strides = per_axis(strides, self.num_axes, "strides", where)
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise SpecError(f"padding is 'valid' or 'same', not {padding!r}", where=where)
        self.data_format = check_format(data_format, where)
        self.dilation_rate = per_axis(dilation_rate, self.num_axes, "dilation_rate", where)
        self.groups = groups
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)
        axis = -1 if self.data_format == CHANNELS_LAST else 1
        channels = check_channels(self.name, input_shape[axis], axis)
        if channels % self.groups:
            raise SpecError(
                f"{channels} channels do not divide into {self.groups} groups",
                where=f"layer '{self.name}'",
            )
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.filters,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Any) -> Any:
        y = ops.conv(
            inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )
        if self.use_bias:
            channels_last = self.data_format == CHANNELS_LAST
            shape = (self.filters,) if channels_last else (self.filters, *(1,) * self.num_axes)
            y = ops.add(y, self.bias if channels_last else ops.reshape(self.bias, shape))
        return self.activation(y)

    def get_config(self) -> dict[str, Any]:
        # Keras writes it for convolutions even where there is none.
        return {**super().get_config(), "activity_regularizer": self.activity_regularizer}


class Conv1D(_Conv):
    """Convolution of `[N, T, C]` to `[N, T', filters]`."""

    num_axes = 1


class Conv2D(_Conv):
    """Convolution of `[N, H, W, C]` to `[N, H', W', filters]`."""

    num_axes = 2


class Conv3D(_Conv):
    """Convolution of `[N, D, H, W, C]` to `[N, D', H', W', filters]`."""

    num_axes = 3
