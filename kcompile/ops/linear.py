"""Products of matrices."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import cast, not_equal
from kcompile.ops.promotion import result_type, to_common_type
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit


@public
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product; leading axes broadcast, and a vector is a row or a column.

    Of bools it tells whether any product holds; of int8 it is int32.
    """
    (a, b), is_bool = product_operands(x1, x2)
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
    y = emit(ir.Reshape(tuple(shape)), y) if row or column else y
    return not_equal(y, 0) if is_bool else y


def product_operands(*operands: Any) -> tuple[list[TracedTensor], bool]:
    """Operands of a sum of products in a type that it does not overflow, and whether they are bool.

    As in Keras, only int8 among the integers is widened.
    """
    dtype = result_type(*operands)
    if dtype is DType.BOOL:
        return [cast(tensor, "int32") for tensor in to_common_type(*operands)], True
    return to_common_type(*operands, least=DType.INT32 if dtype is DType.INT8 else None), False
