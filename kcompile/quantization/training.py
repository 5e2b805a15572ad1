"""Training with the rounding that quantization will do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile import layers
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.layers import Layer
from kcompile.layers.nesting import build_inner
from kcompile.layers.wrappers import Wrapper
from kcompile.models import Model, clone_model
from kcompile.ops.trace import emit

#: Layers whose products are quantized, and the axis of their kernels that has scales of its own.
KERNEL_AXES: dict[type[Layer], int] = {
    layers.Conv1D: -1,
    layers.Conv2D: -1,
    layers.Conv3D: -1,
    layers.Dense: -1,
    layers.DepthwiseConv2D: -2,
}
#: Of the moving averages of ranges (Jacob et al., Quantization and Training of Neural Networks,
#: 2018, have 0.99 and more for long trainings).
MOMENTUM = 0.95
#: Scales stay above this.
LEAST_RANGE = 1e-6


class QuantizationAware(Wrapper):
    """A layer whose input and kernel are rounded as they will be, with gradients for the floats.

    The input's range is a moving average of those of batches, and is state: `low` and `high`.
    """

    supports_masking = True

    def __init__(self, layer: Any, weight_limit: int = 127, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if type(self.layer) not in KERNEL_AXES:
            listed = ", ".join(sorted(kind.__name__ for kind in KERNEL_AXES))
            raise SpecError(
                f"{type(self.layer).__name__} is none of {listed}", where=f"layer '{self.name}'"
            )
        self.weight_limit = weight_limit

    def build(self, input_shape: Any) -> None:
        build_inner(self.layer, input_shape)
        self.low, self.high, self.num_batches = (
            self.add_weight((), "zeros", trainable=False, autocast=False, name=name)
            for name in ("low", "high", "num_batches")
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        low, high = (ops.convert_to_tensor(v) for v in (self.low, self.high))
        if training:
            low, high = self._moved(inputs, low, high)
        with _replaced(self.layer, "kernel", self._rounded_kernel()):
            return self.layer(_rounded(inputs, low, high))

    def _moved(self, inputs: Any, low: Any, high: Any) -> tuple[Any, Any]:
        """The range after this batch; the first batch's is taken as it is."""
        is_first = ops.equal(self.num_batches, 0.0)
        moved = []
        for variable, old, new in (
            (self.low, low, ops.minimum(ops.min(inputs), 0.0)),
            (self.high, high, ops.maximum(ops.max(inputs), 0.0)),
        ):
            new = ops.stop_gradient(new)
            value = ops.where(is_first, new, old * MOMENTUM + new * (1 - MOMENTUM))
            variable.assign(value)
            moved.append(value)
        self.num_batches.assign(self.num_batches + 1.0)
        return moved[0], moved[1]

    def _rounded_kernel(self) -> Any:
        kernel = ops.convert_to_tensor(self.layer.__dict__["kernel"])
        rank = len(kernel.shape)
        axis = KERNEL_AXES[type(self.layer)] % rank
        others = tuple(i for i in range(rank) if i != axis)
        largest = ops.stop_gradient(ops.max(ops.abs(kernel), axis=others))
        scale = ops.maximum(largest, LEAST_RANGE) / float(self.weight_limit)
        zeros = ops.zeros(scale.shape, "int8")
        return emit(ir.FakeQuantize(DType.INT8, axis), kernel, scale, zeros)


def _rounded(x: Any, low: Any, high: Any) -> Any:
    scale = ops.maximum(high - low, LEAST_RANGE) / 255.0
    zero_point = ops.cast(ops.clip(ops.round(-low / scale), 0.0, 255.0), "uint8")
    return emit(ir.FakeQuantize(DType.UINT8), x, scale, zero_point)


@contextlib.contextmanager
def _replaced(layer: Layer, name: str, value: Any) -> Iterator[None]:
    """A layer with another attribute for a while; what tracks weights does not see it."""
    kept = layer.__dict__[name]
    layer.__dict__[name] = value
    try:
        yield
    finally:
        layer.__dict__[name] = kept


def prepare(model: Model, reduce_range: bool | None = None) -> Model:
    """A copy of a model, with its weights, that trains with the rounding of int8.

    Compile and fit it like any other, then give it to `kcompile.quantize`, which takes the ranges
    that it has learnt. It starts best from trained weights.

    Args:
        model: sequential or functional.
        reduce_range: as of `kcompile.quantize`.

    Raises:
        SpecError: the model is neither sequential nor functional, or has no layer to quantize.
    """
    from kcompile.passes.insert_quantization import REDUCED_WEIGHT_LIMIT, WEIGHT_LIMIT
    from kcompile.quantization.processor import saturates

    reduced = saturates() if reduce_range is None else reduce_range
    limit = REDUCED_WEIGHT_LIMIT if reduced else WEIGHT_LIMIT
    copies: list[tuple[Layer, Layer]] = []

    def prepared(layer: Layer) -> Layer:
        inner = type(layer).from_config(layer.get_config())
        copies.append((layer, inner))
        if type(layer) not in KERNEL_AXES:
            return inner
        return QuantizationAware(inner, limit, name=layer.name)

    result = clone_model(model, clone_function=prepared)
    if not any(type(layer) in KERNEL_AXES for layer, _ in copies):
        raise SpecError("it has no layer to quantize", where=f"model '{model.name}'")
    for layer, inner in copies:
        inner.set_weights([np.asarray(array) for array in layer.get_weights()])
    return result
