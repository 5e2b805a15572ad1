"""Sums of products of element types other than float32, against Keras."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.ops_case import Array, OpsCase, case, check, with_slow_tail

DTYPES = ("int8", "bool", "uint8", "int16", "int32", "float16")


def matrix(dtype: str, *shape: int) -> Array:
    """Numbers whose products do not fit into 8 bits."""
    numbers = np.random.default_rng(0).integers(-100, 100, shape)
    return (numbers % 3 == 0) if dtype == "bool" else (numbers / 50 if "f" in dtype else numbers)


def cases() -> list[OpsCase]:
    found = []
    for dtype in DTYPES:
        a, b = (matrix(dtype, *shape).astype(dtype) for shape in ((2, 5), (5, 3)))
        found += [
            case("matmul", a, b),
            case("matmul", a[0], b),
            case("dot", a, b),
            case("dot", a, b[0, 0]),
            case("tensordot", a, b, 1),
            case("inner", a, a[:1]),
            case("inner", a[0], a[1]),
            case("vdot", a, a),
            case("outer", a[0], b[0]),
            case("einsum", "ab,bc->ca", a, b),
            case("einsum", "ab->b", a),
        ]
    return found


@pytest.mark.parametrize("entry", with_slow_tail(cases()))
def test_equals_keras(entry: OpsCase) -> None:
    check(entry)
