"""Normalizations."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import BatchNorm, BatchNormTraining
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers, refuses

refuses(
    BatchNormTraining,
    "statistics of the batch make the result of a row depend on the rows next to it; a model for"
    " inference has fixed statistics",
)


@lowers(BatchNorm)
def _batch_norm(
    emitter: Emitter,
    op: BatchNorm,
    x: Value,
    mean: Value,
    variance: Value,
    gamma: Value | None = None,
    beta: Value | None = None,
) -> Value:
    """ONNX has the channels at axis 1 and always takes gamma and beta."""
    rank = x.type.rank
    axis = op.axis % rank
    if x.type.dtype is DType.FLOAT64:  # ONNX's epsilon is a float32
        return _arithmetic(emitter, op.epsilon, axis, x, mean, variance, gamma, beta)
    if rank == 1:
        rows = emitter.unsqueeze(x, 0)
        return emitter.squeeze(_native(emitter, op.epsilon, rows, mean, variance, gamma, beta), 0)
    others = [other for other in range(rank) if other != axis]
    forward = [others[0], axis, *others[1:]]
    x = emitter.transpose(x, forward)
    y = _native(emitter, op.epsilon, x, mean, variance, gamma, beta)
    return emitter.transpose(y, map(forward.index, range(rank)))


def _native(
    emitter: Emitter,
    epsilon: float,
    x: Value,
    mean: Value,
    variance: Value,
    gamma: Value | None,
    beta: Value | None,
) -> Value:
    gamma = emitter.filled(1.0, mean.type) if gamma is None else gamma
    beta = emitter.filled(0.0, mean.type) if beta is None else beta
    operands = [x, gamma, beta, mean, variance]
    return emitter.emit("BatchNormalization", operands, x.type, epsilon=float(epsilon))


def _arithmetic(
    emitter: Emitter,
    epsilon: float,
    axis: int,
    x: Value,
    mean: Value,
    variance: Value,
    gamma: Value | None,
    beta: Value | None,
) -> Value:
    def along(vector: Value) -> Value:
        for _ in range(axis + 1, x.type.rank):
            vector = emitter.unsqueeze(vector, vector.type.rank)
        return vector

    small = emitter.scalar(epsilon, x.type.dtype)
    shifted = emitter.emit("Add", [variance, small], variance.type)
    deviation = emitter.emit("Sqrt", [shifted], variance.type)
    centered = emitter.emit("Sub", [x, along(mean)], x.type)
    y = emitter.emit("Div", [centered, along(deviation)], x.type)
    if gamma is not None:
        y = emitter.emit("Mul", [y, along(gamma)], x.type)
    return y if beta is None else emitter.emit("Add", [y, along(beta)], x.type)
