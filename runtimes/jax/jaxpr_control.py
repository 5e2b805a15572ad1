"""Loops and branches of JAX."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir.types import DType
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import require_trace
from kcompile.runtimes.jax.jaxpr_sizes import size_of
from kcompile.runtimes.jax.jaxpr_table import Equation, imports


@imports("scan")
def _scan(equation: Equation, *operands: Any) -> Any:
    params = equation.params
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    consts = operands[:num_consts]
    carry = [_tensor(x) for x in operands[num_consts : num_consts + num_carry]]
    xs = [_tensor(x) for x in operands[num_consts + num_carry :]]
    steps = size_of(params["length"])
    equation.require(bool(xs) or isinstance(steps, int))

    def step(before: list[Any], x: Any) -> tuple[list[Any], list[Any]]:
        results = equation.evaluate(params["jaxpr"], [*consts, *before, *(x or [])])
        return [_tensor(y) for y in results[:num_carry]], results[num_carry:]

    last, ys = ops.scan(
        step, carry, xs or None, None if xs else int(steps), reverse=params["reverse"]
    )
    return [*last, *ys]


@imports("while")
def _while(equation: Equation, *operands: Any) -> Any:
    params = equation.params
    for_condition, for_body = params["cond_nconsts"], params["body_nconsts"]
    condition_consts = operands[:for_condition]
    body_consts = operands[for_condition : for_condition + for_body]
    state = [_tensor(x) for x in operands[for_condition + for_body :]]

    def holds(*values: Any) -> Any:
        return equation.evaluate(params["cond_jaxpr"], [*condition_consts, *values])[0]

    def step(*values: Any) -> list[Any]:
        return [
            _tensor(y) for y in equation.evaluate(params["body_jaxpr"], [*body_consts, *values])
        ]

    return ops.while_loop(holds, step, state)


@imports("cond")
def _cond(equation: Equation, index: Any, *operands: Any) -> Any:
    """A branch by its number, the nearest one for a number outside."""
    branches = [
        lambda *values, branch=branch: [_tensor(y) for y in equation.evaluate(branch, values)]
        for branch in equation.params["branches"]
    ]
    which = _tensor(index)
    equation.require(which.type.dtype is DType.INT32)
    if len(branches) == 2:
        return ops.cond(which > 0, lambda: branches[1](*operands), lambda: branches[0](*operands))
    return ops.switch(which, branches, *operands)


def _tensor(value: Any) -> TracedTensor:
    return require_trace().convert(value)
