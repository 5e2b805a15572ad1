"""Convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile import activations, constraints, initializers, regularizers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels
from kcompile.ops.convolution import causal_conv


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


class Convolution(Layer):
    """What the kinds of convolution share: windows, a bias for each channel, an activation."""

    num_axes: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    kernel_size: tuple[int, ...]
    activation: Any
    use_bias: bool
    bias_initializer: Any
    bias_regularizer: Any
    bias_constraint: Any

    def set_windows(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int],
        padding: str,
        data_format: str | None,
        dilation_rate: int | Sequence[int],
    ) -> None:
        """Check and keep the arguments of those names.

        Raises:
            SpecError: one of them is not understood.
        """
        where = f"layer '{self.name}'"
        self.kernel_size = per_axis(kernel_size, self.num_axes, "kernel_size", where)
        self.strides = per_axis(strides, self.num_axes, "strides", where)
        self.padding = str(padding).lower()
        if self.padding not in self.paddings:
            known = " or ".join(map(repr, self.paddings))
            raise SpecError(f"padding is {known}, not {padding!r}", where=where)
        self.data_format = check_format(data_format, where)
        self.dilation_rate = per_axis(dilation_rate, self.num_axes, "dilation_rate", where)

    def input_channels(self, input_shape: Any) -> int:
        """The number of channels of an input with that shape.

        Raises:
            ShapeError: the rank is wrong, or it is not a number.
        """
        check_rank(self.name, input_shape, self.num_axes)
        axis = -1 if self.data_format == CHANNELS_LAST else 1
        return check_channels(self.name, input_shape[axis], axis)

    def add_bias(self, num_channels: int) -> None:
        """Make the weight `bias`, if there is to be one."""
        if self.use_bias:
            self.bias = self.add_weight(
                (num_channels,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def activate(self, y: Any) -> Any:
        """`activation(y + b)`."""
        if self.use_bias:
            channels_last = self.data_format == CHANNELS_LAST
            shape = (*self.bias.shape, *(1,) * self.num_axes)
            y = ops.add(y, self.bias if channels_last else ops.reshape(self.bias, shape))
        return self.activation(y)

    def get_config(self) -> dict[str, Any]:
        # Keras writes it for convolutions even where there is none.
        return {"activity_regularizer": None, **super().get_config()}


class _Conv(Convolution):
    """`y = activation(conv(x, w) + b)`, x `[N, S..., C]`, w `[K..., C / groups, filters]`."""

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
        if not isinstance(filters, int) or filters < 1 or filters % groups:
            raise SpecError(
                f"filters must be a positive multiple of groups ({groups}), got {filters!r}",
                where=f"layer '{self.name}'",
            )
        self.filters = filters
        self.set_windows(kernel_size, strides, padding, data_format, dilation_rate)
        self.groups = groups
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self.input_channels(input_shape)
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
        self.add_bias(self.filters)

    def call(self, inputs: Any) -> Any:
        y = ops.conv(
            inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )
        return self.activate(y)


class Conv1D(_Conv):
    """Convolution of `[N, T, C]` to `[N, T', filters]`; "causal": from no later step."""

    num_axes = 1
    paddings = ("valid", "same", "causal")

    def call(self, inputs: Any) -> Any:
        if self.padding != "causal":
            return super().call(inputs)
        y = causal_conv(inputs, self.kernel, self.strides, self.data_format, self.dilation_rate)
        return self.activate(y)


class Conv2D(_Conv):
    """Convolution of `[N, H, W, C]` to `[N, H', W', filters]`."""

    num_axes = 2


class Conv3D(_Conv):
    """Convolution of `[N, D, H, W, C]` to `[N, D', H', W', filters]`."""

    num_axes = 3
