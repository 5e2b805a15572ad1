"""Common divisors and multiples of integers."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.types import broadcast_shapes
from kcompile.ops.dispatch import public
from kcompile.ops.promotion import to_common_type
from kcompile.ops.tensor import TracedTensor


def _integers(name: str, x1: Any, x2: Any) -> list[TracedTensor]:
    """The absolute values, in one integer type and one shape."""
    pair = to_common_type(x1, x2)
    if not pair[0].type.dtype.is_integer:
        raise SpecError(f"{name} needs integers, got {pair[0].type} and {pair[1].type}")
    shape = broadcast_shapes(*(x.type.shape for x in pair))
    return [ops.broadcast_to(ops.absolute(x), shape) for x in pair]


@public
def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisors of integers, by Euclid's algorithm; that of 0 and 0 is 0."""

    def step(a: Any, b: Any) -> tuple[Any, Any]:
        is_found = ops.equal(b, 0)
        rest = ops.mod(a, ops.where(is_found, ops.ones_like(b), b))
        return ops.where(is_found, a, b), ops.where(is_found, b, rest)

    return ops.while_loop(
        lambda a, b: ops.any(ops.not_equal(b, 0)), step, _integers("gcd", x1, x2)
    )[0]


@public
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiples of integers; 0 where one of them is 0."""
    a, b = _integers("lcm", x1, x2)
    divisor = gcd(a, b)
    return ops.floor_divide(a, ops.where(ops.equal(divisor, 0), ops.ones_like(a), divisor)) * b
