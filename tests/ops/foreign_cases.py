"""Cases of calls of functions of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile.ir import ops
from kcompile.ir.graph import Value
from kcompile.ir.op import Op
from kcompile.ir.ops.foreign import register_function
from tests.ops.case import Case, operand
from tests.ops.control_cases import Body

_X = operand("batch", 3)


def _product(x: Any, y: Any) -> tuple[Any, ...]:
    return x * y, x


def _call() -> Op:
    def body(emit: Callable[..., Value], x: Value, y: Value, z: Value) -> tuple[Value, ...]:
        return emit(ops.Multiply(), x, y), x

    return ops.CustomGradient(
        register_function("product", _product, _product), 2, Body(_X, _X, _X)(body)
    )


CASES = [Case("custom-gradient", _call(), (_X, _X, _X), {"batch": 2})]
