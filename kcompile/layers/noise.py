"""Regularization: noise in training, and penalties of activations. Inference passes x through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile import regularizers
from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import CHANNELS_LAST, check_format
from kcompile.layers.core import Dropout
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace

#: Of the activation SELU (Klambauer et al., "Self-normalizing neural networks", 2017).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


class _Noise(Layer):
    """A layer whose argument, the amount of noise, is in [0, 1]."""

    supports_masking = True

    def _require_share(self, name: str, value: float) -> None:
        if not 0 <= value <= 1:
            raise SpecError(
                f"{name} must be in [0, 1], got {value!r}", where=f"layer '{self.name}'"
            )

    def _require_less_than_all(self, rate: float) -> None:
        if rate == 1:
            raise SpecError("cannot train with rate 1", hint="Give a rate below 1")


class GaussianNoise(_Noise):
    """`y = x + stddev * n`, n normal, in training."""

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._require_share("stddev", stddev)
        self.stddev = stddev
        self.seed = seed

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        noise = ops.cast(normal(inputs.type.shape, self.seed), inputs.dtype)
        return inputs + self.stddev * noise


class GaussianDropout(_Noise):
    """`y = x * (1 + sqrt(rate / (1 - rate)) * n)`, n normal, in training."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._require_share("rate", rate)
        self.rate = rate
        self.seed = seed

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        self._require_less_than_all(self.rate)
        noise = ops.cast(normal(inputs.type.shape, self.seed), inputs.dtype)
        return inputs * (1.0 + math.sqrt(self.rate / (1 - self.rate)) * noise)


class AlphaDropout(_Noise):
    """Dropout to SELU's negative limit, scaled so that mean 0 and variance 1 stay, in training.

    The noise has the shape of x, or `noise_shape`, None in which stands for x's size.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._require_share("rate", rate)
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        self._require_less_than_all(self.rate)
        limit = -_SELU_ALPHA * _SELU_SCALE
        scale = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        kept = ops.greater_equal(_uniform(self._noise_sizes(inputs), self.seed), self.rate)
        return ops.where(kept, inputs, limit) * scale - scale * limit * self.rate

    def _noise_sizes(self, inputs: Any) -> tuple[Size, ...]:
        sizes: tuple[Size, ...] = inputs.type.shape
        if self.noise_shape is None:
            return sizes
        if len(self.noise_shape) != len(sizes):
            raise ShapeError(
                f"noise_shape {tuple(self.noise_shape)} needs {len(sizes)} sizes, as {inputs.type}"
            )
        pairs = zip(sizes, self.noise_shape, strict=True)
        return tuple(size if wanted is None else wanted for size, wanted in pairs)


class _SpatialDropout(Dropout):
    """Dropout of whole channels."""

    num_axes: ClassVar[int]

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = check_format(data_format, f"layer '{self.name}'")

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != self.num_axes + 2:
            raise ShapeError(
                f"needs an input of rank {self.num_axes + 2}, got shape {tuple(input_shape)}",
                where=f"layer '{self.name}'",
            )
        channels = len(input_shape) - 1 if self.data_format == CHANNELS_LAST else 1
        self.noise_shape = [
            None if axis in (0, channels) else 1 for axis in range(len(input_shape))
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            "rate": self.rate,
            "seed": self.seed,
            "name": self.name,
            "dtype": self.dtype_policy.name,
            "data_format": self.data_format,
        }


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of x `[N, T, C]`."""

    num_axes = 1

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of x `[N, H, W, C]`."""

    num_axes = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of x `[N, D, H, W, C]`."""

    num_axes = 3


class ActivityRegularization(Layer):
    """`y = x`; `l1 * sum(|x|) + l2 * sum(x ** 2)`, divided by the batch size, adds to the loss."""

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **kwargs)
        self.l1 = l1
        self.l2 = l2

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]
        return config


def normal(shape: tuple[Size, ...], seed: int | None) -> Any:
    """Standard normal numbers `f32`, by the transformation of Box and Muller (1958)."""
    # 1 - u is in (0, 1], whose logarithm is finite.
    radius = ops.sqrt(-2.0 * ops.log(1.0 - _uniform(shape, seed)))
    return radius * ops.cos(2 * math.pi * _uniform(shape, seed))


def _uniform(shape: tuple[Size, ...], seed: int | None) -> Any:
    """Uniform numbers `f32` in [0, 1)."""
    trace = require_trace()
    op = ir.RandomUniform(shape, trace.stream(seed), trace.mode.forced)
    return emit(op, TracedTensor(trace, trace.rng()))
