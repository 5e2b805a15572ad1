"""What quantization in training computes, forward and backward."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import infer_types
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.jax import lower

F32, F64, I8, U8, I32 = DType.FLOAT32, DType.FLOAT64, DType.INT8, DType.UINT8, DType.INT32


def _gradient(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int | None) -> list:
    builder = Builder("fake")
    arrays = {"x": x, "scale": scale, "zero_point": zero_point}
    values = [builder.input(name, TensorType.of(array)) for name, array in arrays.items()]
    op = ops.FakeQuantize(DType.of(zero_point.dtype), axis)
    function = lower(builder.finish([("y", builder.emit(op, *values)[0])]))
    slope = jax.grad(lambda x: jnp.sum(function(arrays | {"x": x})[0]["y"]))(x)
    return np.asarray(slope).tolist()


def test_the_gradient_passes_straight_through_inside_of_the_range() -> None:
    x = np.float32([-0.6, -0.5, 0.1, 126.9, 127.0, 127.6, 1e9, np.inf, -np.inf])
    slopes = _gradient(x, np.float32(0.5), np.uint8(1), None)
    assert slopes == [0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_the_gradient_along_an_axis() -> None:
    x = np.float32([[1.0, 1.0, -1.0], [100.0, 100.0, 100.0]])
    slopes = _gradient(x, np.float32([0.5, 1, 0.001]), np.int8([0, 0, 0]), 1)
    assert slopes == [[1, 1, 0], [0, 1, 0]]


SINGLE, THREE = TensorType(F32, ()), TensorType(F32, (3,))
X = TensorType(F32, (2, 3))


@pytest.mark.parametrize(
    ("op", "types", "message"),
    [
        (ops.Quantize(I32), (X, SINGLE, SINGLE.with_dtype(I32)), "cannot quantize to i32"),
        (ops.Quantize(U8), (X, SINGLE, SINGLE.with_dtype(I8)), "needs a zero point of type u8"),
        (ops.Quantize(U8), (X, THREE, THREE.with_dtype(U8)), "needs a scale of rank 0"),
        (ops.Quantize(U8, 0), (X, THREE, THREE.with_dtype(U8)), "needs 2 scales"),
        (ops.Quantize(U8, 1), (X, SINGLE, SINGLE.with_dtype(U8)), "needs a scale of rank 1"),
        (ops.Quantize(U8, 2), (X, THREE, THREE.with_dtype(U8)), "axis 2 is out of range"),
        (
            ops.FakeQuantize(U8),
            (X, SINGLE.with_dtype(F64), SINGLE.with_dtype(U8)),
            "needs a scale of type f32",
        ),
        (ops.FakeQuantize(U8), (X.with_dtype(I32), SINGLE, SINGLE), "needs floats"),
        (ops.Dequantize(), (X, SINGLE), "cannot dequantize f32"),
        (ops.Dequantize(), (X.with_dtype(U8), SINGLE.with_dtype(I8)), "floating-point scale"),
        (
            ops.Dequantize(),
            (X.with_dtype(I32), SINGLE, SINGLE.with_dtype(I32)),
            "takes no zero point",
        ),
        (ops.DynamicQuantize(), (X.with_dtype(F64),), "needs f32"),
        (ops.IntegerMatmul(), (X.with_dtype(U8), X.with_dtype(I8), SINGLE), "zero point of type"),
        (
            ops.IntegerMatmul(),
            (X.with_dtype(U8), X.with_dtype(I8), SINGLE.with_dtype(U8)),
            "needs b with 3 rows",
        ),
    ],
)
def test_what_does_not_fit_is_refused(op: ops.Quantize, types: tuple, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        infer_types(op, types)
