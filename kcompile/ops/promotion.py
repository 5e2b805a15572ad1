"""Element types of results: Keras's rules, which are JAX's with 32 bits as the widest default."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.types import DType
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import require_trace
from kcompile.ops.variable import Variable

FLOATX = DType.FLOAT32

_SIGNED = (DType.INT8, DType.INT16, DType.INT32, DType.INT64)
_UNSIGNED = (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64)
_FLOATS = (DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64)


def promote(a: DType, b: DType) -> DType:
    """The element type that holds both: floats before integers before bools."""
    if a is b:
        return a
    if DType.BOOL in (a, b):
        return b if a is DType.BOOL else a
    if a.is_floating or b.is_floating:
        if not (a.is_floating and b.is_floating):
            return a if a.is_floating else b
        if {a, b} == {DType.FLOAT16, DType.BFLOAT16}:
            return DType.FLOAT32
        return max(a, b, key=_FLOATS.index)
    if a.value[0] == b.value[0]:
        return max(a, b, key=(_SIGNED if a in _SIGNED else _UNSIGNED).index)
    signed, unsigned = (a, b) if a in _SIGNED else (b, a)
    rank = max(_SIGNED.index(signed), _UNSIGNED.index(unsigned) + 1)
    return _SIGNED[rank] if rank < len(_SIGNED) else FLOATX


def _kind(value: Any) -> DType | type:
    """The element type of a tensor or array; `bool`, `int` or `float` of a plain number."""
    if isinstance(value, TracedTensor):
        return value.type.dtype
    if isinstance(value, Variable):
        return require_trace().dtype_of(value)
    if isinstance(value, (bool, int, float)):
        return type(value)
    array = np.asarray(value)
    if not hasattr(value, "dtype"):
        return {"b": bool, "i": int, "f": float}.get(array.dtype.kind, DType.of(array.dtype))
    return DType.of(array.dtype)


def result_type(*values: Any) -> DType:
    """The element type of an op on `values`; plain numbers only raise its kind."""
    kinds = [_kind(value) for value in values]
    typed = [kind for kind in kinds if isinstance(kind, DType)]
    result = typed[0] if typed else DType.BOOL
    for dtype in typed[1:]:
        result = promote(result, dtype)
    if float in kinds and not result.is_floating:
        return FLOATX
    if int in kinds and result is DType.BOOL:
        return DType.INT32
    return result


def to_common_type(*values: Any, least: DType | None = None) -> list[TracedTensor]:
    """`values` as tensors of one element type, and at least `least`."""
    dtype = result_type(*values)
    dtype = promote(dtype, least) if least is not None else dtype
    trace = require_trace()
    return [trace.convert(value, dtype) for value in values]


def to_common_floats(*values: Any) -> list[TracedTensor]:
    """`values` as tensors of one floating-point type."""
    least = None if result_type(*values).is_floating else FLOATX
    return to_common_type(*values, least=least)


def to_tensor(value: Any) -> TracedTensor:
    """`value` as a tensor of the current trace."""
    return require_trace().convert(value)


def to_float(value: Any) -> TracedTensor:
    """`value` as a floating-point tensor: integers and bools become float32."""
    tensor = to_tensor(value)
    return tensor if tensor.type.dtype.is_floating else require_trace().cast(tensor, FLOATX)


def to_wide_float(value: Any) -> TracedTensor:
    """`value` in float32, or float64 if it is that: squares of 16 bits overflow."""
    tensor = to_float(value)
    return require_trace().convert(tensor, promote(tensor.type.dtype, FLOATX))
