"""Batch normalization as arithmetic: `batch_norm(x) = x * scale + shift`, with
`scale = gamma / sqrt(variance + epsilon)` and `shift = beta - mean * scale`.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.graph import Value
from kcompile.ir.ops import Add, BatchNorm, Cast, Multiply, Negative, Rsqrt, Subtract
from kcompile.ir.types import DType
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, Pattern


def batch_norm_pattern(x: Pattern, leaf: type[ANY] = CONSTANT) -> P:
    """The node `norm` on x, with leaves `mean`, `variance`, `gamma` and `beta`."""
    statistics = (leaf("mean"), leaf("variance"))
    affine = (leaf("gamma", optional=True), leaf("beta", optional=True))
    return P(BatchNorm, x, *statistics, *affine, name="norm")


def wide(match: Match, value: Value) -> Value:
    """`value` in float32, if its type is narrower."""
    if value.type.dtype in (DType.FLOAT16, DType.BFLOAT16):
        return match.emit(Cast(DType.FLOAT32), value)
    return value


def scale_and_shift(match: Match, shift_name: str | None = None) -> tuple[Value, Value]:
    """scale and shift `[C]`, in float32 or better; the shift may get a name."""
    mean, variance = (wide(match, match.value(name)) for name in ("mean", "variance"))
    gamma, beta = (match.optional(name) for name in ("gamma", "beta"))
    epsilon = np.asarray(match.op("norm", BatchNorm).epsilon, mean.type.dtype.numpy)
    scale = match.emit(Rsqrt(), match.emit(Add(), variance, match.new.constant(epsilon)))
    if gamma is not None:
        scale = match.emit(Multiply(), scale, wide(match, gamma))
    offset = match.emit(Multiply(), mean, scale)
    if beta is None:
        return scale, match.emit(Negative(), offset, name=shift_name)
    return scale, match.emit(Subtract(), wide(match, beta), offset, name=shift_name)
