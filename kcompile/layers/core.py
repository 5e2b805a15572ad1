"""Layers that everything is made with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile import activations, constraints, initializers, regularizers
from kcompile.ir.dims import Size, product, symbol
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import TensorType
from kcompile.layers.base import Layer
from kcompile.ops.dispatch import record_call
from kcompile.ops.shape import complete_shape
from kcompile.ops.tensor import KerasTensor

BATCH = symbol("batch")


class InputLayer(Layer):
    """Where data enters a model. Use `Input`."""

    inert_config = {"sparse": (False,), "ragged": (False,), "optional": (False,)}

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(dtype=dtype or "float32", name=name)
        if (shape is None) == (batch_shape is None):
            raise SpecError("needs shape or batch_shape, one of them", where=f"layer '{self.name}'")
        full = tuple(batch_shape) if batch_shape is not None else (batch_size, *(shape or ()))
        self.batch_shape = full
        self.built = True
        sizes = tuple(self._size(axis, size) for axis, size in enumerate(full))
        record_call(self, (), {}, TensorType(self.dtype_policy.computation, sizes))

    def _size(self, axis: int, size: int | None) -> Size:
        """The batch is one symbol in all inputs; other open sizes are named by input and axis."""
        if size is not None:
            return int(size)
        letters = "".join(c if c.isalnum() else "_" for c in self.name)
        return (
            BATCH
            if axis == 0
            else symbol(f"{letters}_{axis}" if letters[0].isalpha() else f"_{letters}_{axis}")
        )

    @property
    def output(self) -> KerasTensor:
        return self.nodes[0].outputs

    def call(self, *args: Any) -> Any:
        raise SpecError("an input cannot be called", where=f"layer '{self.name}'")

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": False,
        }


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> KerasTensor:
    """A tensor that stands for a model's input.

    Args:
        shape: sizes without the batch; None for one that only the data decides.
        batch_size: the batch's size, if it is fixed.
        dtype: element type; float32 by default.
        batch_shape: the sizes with the batch, in place of shape and batch_size.
        name: the input's name, also in the exported model.
    """
    return InputLayer(shape, batch_size, dtype, batch_shape, name).output


class Dense(Layer):
    """`y = activation(x w + b)`: x `[..., K]`, w `[K, units]`, b `[units]`.

    Args: as in Keras.
    """

    supports_masking = True

    inert_config = {"quantization_config": (None,), "lora_rank": (None,), "lora_alpha": (None,)}

    def __init__(
        self,
        units: int,
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
        if not isinstance(units, int) or units < 1:
            raise SpecError(
                f"units must be a positive integer, got {units!r}", where=f"layer '{self.name}'"
            )
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            (input_shape[-1], self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Any) -> Any:
        y = ops.matmul(inputs, self.kernel)
        return self.activation(ops.add(y, self.bias) if self.use_bias else y)


class Activation(Layer):
    """`y = activation(x)`."""

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)


class Dropout(Layer):
    """In training, elements are 0 with probability `rate`, others divided by `1 - rate`."""

    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise SpecError(f"rate must be in [0, 1], got {rate!r}", where=f"layer '{self.name}'")
        self.rate = rate
        self.seed = seed
        self.noise_shape = noise_shape

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return ops.zeros_like(inputs)
        return ops.dropout(inputs, self.rate, self.noise_shape, self.seed)


class Flatten(Layer):
    """`[N, ...]` to `[N, M]`; channels_first data is put channels last before."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format or "channels_last"

    def call(self, inputs: Any) -> Any:
        rank = inputs.type.rank
        if self.data_format == "channels_first" and rank > 2:
            inputs = ops.transpose(inputs, (0, *range(2, rank), 1))
        batch, *rest = inputs.type.shape
        return ops.reshape(inputs, (batch, product(rest)))


class Reshape(Layer):
    """`[N, ...]` to `[N, *target_shape]`; one size may be -1."""

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)

    def call(self, inputs: Any) -> Any:
        batch, *rest = inputs.type.shape
        target = complete_shape(product(rest), self.target_shape)
        return ops.reshape(inputs, (batch, *target))


class Permute(Layer):
    """The axes after the batch in another order; `dims` counts them from 1."""

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise SpecError(
                f"dims {self.dims} do not permute 1, 2, ...", where=f"layer '{self.name}'"
            )

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, (0, *self.dims))


class Identity(Layer):
    """`y = x`."""

    supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs


def check_channels(name: str, channels: Any, axis: int) -> int:
    """The number of channels.

    Raises:
        ShapeError: it is not a number.
    """
    if not isinstance(channels, int):
        raise ShapeError(
            f"needs a fixed number of channels on axis {axis}",
            where=f"layer '{name}'",
            hint="Give the input a number there",
        )
    return channels
