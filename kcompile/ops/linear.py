"""Products of matrices."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ops.dispatch import public
from kcompile.ops.promotion import to_common_type
from kcompile.ops.trace import emit


@public
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product; leading axes broadcast, and a vector is a row or a column."""
    a, b = to_common_type(x1, x2)
    row, column = a.type.rank == 1, b.type.rank == 1
    if row:
        a = emit(ir.Reshape((1, *a.type.shape)), a)
    if column:
        b = emit(ir.Reshape((*b.type.shape, 1)), b)
    y = emit(ir.Matmul(), a, b)
    shape = list(y.type.shape)
    if column:
        del shape[-1]
    if row:
        del shape[-1 if column else -2]
    return emit(ir.Reshape(tuple(shape)), y) if row or column else y
