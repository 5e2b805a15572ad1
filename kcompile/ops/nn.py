"""Functions of neural networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.dims import product
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ir.ops.windows import CHANNELS_LAST, Padding
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import clip, maximum, multiply, tanh
from kcompile.ops.promotion import to_common_type, to_float, to_tensor
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace


@public
def relu(x: Any) -> Any:
    """`max(x, 0)`; integers stay integers."""
    tensor = to_tensor(x)
    if not tensor.type.dtype.is_floating:
        return maximum(tensor, 0)
    return emit(ir.Relu(), tensor)


@public
def relu6(x: Any) -> Any:
    """`min(max(x, 0), 6)`."""
    return clip(to_float(x), 0.0, 6.0)


@public
def sigmoid(x: Any) -> Any:
    """`1 / (1 + e^-x)`."""
    return emit(ir.Sigmoid(), to_float(x))


@public
def hard_sigmoid(x: Any) -> Any:
    """`min(max(x / 6 + 0.5, 0), 1)`."""
    return emit(ir.HardSigmoid(), to_float(x))


def prelu(x: Any, slope: Any) -> TracedTensor:
    """`x` where `x > 0`, else `slope * x`, in a trace. Not among Keras's functions."""
    return emit(ir.PRelu(), *to_common_type(x, slope))


@public
def silu(x: Any) -> Any:
    """`x * sigmoid(x)`."""
    tensor = to_float(x)
    return multiply(tensor, sigmoid(tensor))


@public
def softplus(x: Any) -> Any:
    """`log(1 + e^x)`."""
    return emit(ir.Softplus(), to_float(x))


@public
def softsign(x: Any) -> Any:
    """`x / (1 + |x|)`."""
    return emit(ir.Softsign(), to_float(x))


@public
def elu(x: Any, alpha: float = 1.0) -> Any:
    """`x where x > 0, else alpha * (e^x - 1)`."""
    return emit(ir.Elu(float(alpha)), to_float(x))


@public
def selu(x: Any) -> Any:
    """`scale * elu(x, alpha)` with the constants of Klambauer et al., 2017."""
    return multiply(elu(x, 1.6732632423543772848170429916717), 1.0507009873554804934193349852946)


@public
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """`x where x > 0, else negative_slope * x`."""
    return emit(ir.LeakyRelu(float(negative_slope)), to_float(x))


@public
def gelu(x: Any, approximate: bool = True) -> Any:
    """`x * Phi(x)`, by default in the tanh approximation."""
    return emit(ir.Gelu(approximate), to_float(x))


@public
def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))` (Misra, 2019)."""
    tensor = to_float(x)
    return multiply(tensor, tanh(softplus(tensor)))


@public
def softmax(x: Any, axis: int | Sequence[int] | None = -1) -> Any:
    """`e^x / sum(e^x)` along axis."""
    return _along_axes(ir.Softmax, x, axis)


@public
def log_softmax(x: Any, axis: int | Sequence[int] | None = -1) -> Any:
    """`x - log(sum(e^x))` along axis."""
    return _along_axes(ir.LogSoftmax, x, axis)


def _along_axes(kind: type[ir.Softmax] | type[ir.LogSoftmax], x: Any, axis: Any) -> Any:
    """Several axes, or all, are put last and made one."""
    tensor = to_float(x)
    if isinstance(axis, int):
        return emit(kind(axis), tensor)
    rank = tensor.type.rank
    axes = tuple(range(rank)) if axis is None else tuple(normalize_axis(i, rank) for i in axis)
    if len(axes) == 1:
        return emit(kind(axes[0]), tensor)
    order = (*(i for i in range(rank) if i not in axes), *axes)
    moved = tensor if order == tuple(range(rank)) else emit(ir.Transpose(order), tensor)
    kept = moved.type.shape[: rank - len(axes)]
    flat = emit(ir.Reshape((*kept, product(moved.type.shape[len(kept) :]))), moved)
    result = emit(ir.Reshape(moved.type.shape), emit(kind(-1), flat))
    return result if moved is tensor else emit(ir.Transpose(_inverse(order)), result)


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that takes back `order`."""
    return tuple(order.index(axis) for axis in range(len(order)))


def _tuple(value: int | Sequence[int], length: int) -> tuple[int, ...]:
    return (value,) * length if isinstance(value, int) else tuple(value)


def _padding(padding: str, num_axes: int) -> Padding:
    if padding not in ("same", "valid"):
        raise ShapeError(f"padding is 'same' or 'valid', not {padding!r}")
    return "same" if padding == "same" else ((0, 0),) * num_axes


@public
def conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """Convolution of inputs `[N, S..., C]` with a kernel `[K..., C / groups, O]`.

    The number of groups is what the channels of inputs and kernel say.
    """
    x, w = to_common_type(inputs, kernel)
    data_format = data_format or CHANNELS_LAST
    num_axes = x.type.rank - 2
    channels = x.type.shape[-1 if data_format == CHANNELS_LAST else 1]
    per_group = w.type.shape[-2]
    if not (isinstance(channels, int) and isinstance(per_group, int)) or channels % per_group:
        raise ShapeError(f"{channels} channels do not divide into groups of {per_group}")
    op = ir.Conv(
        _tuple(strides, num_axes),
        _padding(padding, num_axes),
        _tuple(dilation_rate, num_axes),
        channels // per_group,
        data_format,
    )
    return emit(op, x, w)


def to_poolable(kind: type[ir.MaxPool] | type[ir.AveragePool], x: Any) -> TracedTensor:
    """x in a type that `kind` takes: integers have greatest ones, but no means."""
    tensor = to_tensor(x)
    return tensor if kind is ir.MaxPool and tensor.type.dtype.is_integer else to_float(tensor)


def _pool(
    kind: type[ir.MaxPool] | type[ir.AveragePool],
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
    data_format: str | None,
) -> Any:
    x = to_poolable(kind, inputs)
    num_axes = x.type.rank - 2
    window = _tuple(pool_size, num_axes)
    steps = window if strides is None else _tuple(strides, num_axes)
    op = kind(window, steps, _padding(padding, num_axes), data_format or CHANNELS_LAST)
    return emit(op, x)


@public
def max_pool(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The greatest of each window of `[N, S..., C]`."""
    return _pool(ir.MaxPool, inputs, pool_size, strides, padding, data_format)


@public
def average_pool(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The mean of each window of `[N, S..., C]`, padding not counted."""
    return _pool(ir.AveragePool, inputs, pool_size, strides, padding, data_format)


@public
def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`, along axis."""
    tensor = to_float(x)
    statistics = [
        None if value is None else require_trace().convert(value, tensor.type.dtype)
        for value in (mean, variance, scale, offset)
    ]
    return emit(ir.BatchNorm(axis, float(epsilon)), tensor, *statistics)


@public
def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """`-sum(target * log(p))` along axis, p from probabilities or logits."""
    target, output = to_common_type(target, to_float(output))
    return emit(ir.CategoricalCrossentropy(from_logits, axis), target, output)


@public
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """`-log(p[target])`, p along axis from probabilities or logits."""
    labels, output = to_tensor(target), to_float(output)
    if labels.type.rank == output.type.rank and labels.type.shape[-1] == 1:
        labels = emit(ir.Reshape(labels.type.shape[:-1]), labels)
    if not labels.type.dtype.is_integer:
        labels = require_trace().cast(labels, DType.INT32)
    return emit(ir.SparseCategoricalCrossentropy(from_logits, axis), labels, output)


@public
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """`-target * log(p) - (1 - target) * log(1 - p)`, p from probabilities or logits."""
    target, output = to_common_type(target, to_float(output))
    return emit(ir.BinaryCrossentropy(from_logits), target, output)


def dropout(x: Any, rate: float, noise_shape: Any = None, seed: int | None = None) -> Any:
    """x with elements set to 0 with probability `rate`, the others divided by `1 - rate`."""
    trace = require_trace()
    tensor = to_float(x)
    shape = noise_shape and tuple(
        size if wanted is None else wanted
        for size, wanted in zip(tensor.type.shape, noise_shape, strict=True)
    )
    op = ir.Dropout(float(rate), trace.stream(seed), shape or None, trace.mode.forced)
    return trace.emit(op, tensor, TracedTensor(trace, trace.rng()))


def batch_normalization_training(
    x: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> tuple[Any, Any, Any]:
    """x normalized by its own statistics along axis, its mean and its variance."""
    trace = require_trace()
    tensor = to_float(x)
    gamma, beta = (
        None if value is None else trace.convert(value, tensor.type.dtype)
        for value in (scale, offset)
    )
    op = ir.BatchNormTraining(axis, float(epsilon), trace.mode.forced)
    return trace.emit(op, tensor, gamma, beta)


def __getattr__(name: str) -> Any:
    """Functions of `keras.ops.nn` that stand in other files here."""
    import kcompile.ops as ops

    if name not in ops.__all__:
        raise AttributeError(f"module 'kcompile.ops.nn' has no attribute '{name}'")
    return getattr(ops, name)
