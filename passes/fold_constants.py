"""Constant folding."""

from __future__ import annotations

import math

import numpy as np

from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.literal import Literal
from kcompile.ir.op import Array, evaluate
from kcompile.ir.ops import Constant
from kcompile.passes.journal import Refusal, record_change, record_refusal
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

#: A result up to this many elements is folded even if its operands are smaller.
FREE_ELEMENTS = 1024


def fold_constants(graph: Graph) -> Graph:
    """`op(constants) = constant`, computed by the op's reference.

    Not where the result is larger than the operands together (`broadcast_to`, `iota`, `one_hot`):
    computing it is cheaper than storing it.

    Raises:
        VerifyError: a reference disagrees with its type rule.
    """
    return rebuild(graph, _fold)


def _fold(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    if isinstance(node.op, Constant) or not node.op.is_foldable or node.op.symbols:
        return None
    literals = _literals(operands, new)
    if literals is None:
        return None
    sizes = [math.prod(literal.array.shape) for literal in literals if literal is not None]
    elements = sum(math.prod(value.type.static_shape) for value in node.outputs)
    if elements > max(FREE_ELEMENTS, sum(sizes)):
        reason = f"the result has {elements} elements, the operands {sum(sizes)}"
        record_refusal(Refusal("fold_constants", node.outputs[0].name, reason))
        return None
    results = evaluate(node.op, tuple(None if x is None else x.array for x in literals))
    name = _name(node, operands)
    record_change("fold_constants")
    return tuple(
        new.emit(_constant(node, value, array), name=name, source=node.source)[0]
        for value, array in zip(node.outputs, results, strict=True)
    )


def _literals(operands: Operands, new: Rebuild) -> list[Literal | None] | None:
    """The operands' values, if all are constants."""
    literals: list[Literal | None] = []
    for value in operands:
        node = new.producer(value)
        if value is None:
            literals.append(None)
        elif node is not None and isinstance(node.op, Constant):
            literals.append(node.op.value)
        else:
            return None
    return literals


def _constant(node: Node, value: Value, array: Array) -> Constant:
    literal = Literal(np.ascontiguousarray(array).reshape(array.shape))
    if literal.type != value.type:
        raise VerifyError(
            f"its reference gives {literal.type}, its type rule {value.type}",
            where=f"%{value.name} = {node.op.name}",
        )
    return Constant(literal)


def _name(node: Node, operands: Operands) -> str:
    """A weight's path: the node's own name if it is one, otherwise that of its largest operand."""
    own = node.outputs[0].name
    given = [value for value in operands if value is not None]
    automatic = ":" in own or own.startswith(node.op.name)
    if not automatic or not given:
        return own
    return max(given, key=lambda value: math.prod(value.type.static_shape)).name
