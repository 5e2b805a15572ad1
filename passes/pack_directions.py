"""Both directions of a recurrent layer in one op."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.op import Op
from kcompile.ir.ops import (
    BidirectionalGru,
    BidirectionalLstm,
    BidirectionalRnn,
    Concatenate,
    Gru,
    Lstm,
    SimpleRnn,
)
from kcompile.passes.journal import Refusal, record_change, record_refusal
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

_DIRECTION = Gru | Lstm | SimpleRnn
_SHARED = ("x", "mask")


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Result number `index` of two recurrent nodes, which `node` concatenates."""

    node: Node
    first: Node
    second: Node
    index: int


def pack_directions(graph: Graph) -> Graph:
    """`concat(op(x), op(x, reverse)) = bidirectional(x)`, of sequences and of final states."""
    pairs = [pair for node in graph.nodes if (pair := _pair(node, graph.producers)) is not None]
    joins = Counter(_results(pair) for pair in pairs)
    packed: dict[str, int] = {}
    for pair in pairs:
        reason = _refusal(pair, graph.uses, joins)
        if reason is None:
            packed[pair.node.output.name] = pair.index
        else:
            record_refusal(Refusal("pack_directions", pair.node.output.name, reason))
    if not packed:
        return graph

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        index = packed.get(node.outputs[0].name)
        return None if index is None else (_pack(node, operands, new)[index],)

    return rebuild(graph, transform)


def _pair(node: Node, producers: Mapping[str, Node]) -> _Pair | None:
    """The two recurrent nodes of opposite direction whose results `node` puts side by side."""
    op = node.op
    if not isinstance(op, Concatenate) or len(node.inputs) != 2:
        return None
    rank = node.output.type.rank
    made = [(v, producers.get(v.name)) for v in node.inputs if v is not None]
    nodes = [maker for _, maker in made if maker and isinstance(maker.op, _DIRECTION)]
    if len(nodes) != 2 or op.axis % rank != rank - 1:
        return None
    first, second = nodes
    indices = {maker.outputs.index(value) for value, maker in made if maker is not None}
    if type(first.op) is not type(second.op) or len(indices) != 1:
        return None
    if _attribute(first, "reverse") == _attribute(second, "reverse"):
        return None
    return _Pair(node, first, second, indices.pop())


def _attribute(node: Node, name: str) -> Any:
    return getattr(node.op, name)


def _results(pair: _Pair) -> tuple[str, str]:
    return pair.first.outputs[pair.index].name, pair.second.outputs[pair.index].name


def _operands(node: Node, operands: Operands) -> dict[str, Value | None]:
    """The operands by name; those that are left out are None."""
    names = node.op.operand_names()
    return {**dict.fromkeys(names), **dict(zip(names, operands, strict=False))}


def _refusal(
    pair: _Pair, uses: Mapping[str, int], joins: Mapping[tuple[str, str], int]
) -> str | None:
    """Why the two must stay apart; None where they need not."""
    forward, backward = pair.first, pair.second
    if _attribute(forward, "reverse"):
        return "the backward direction comes first"
    a, b = _operands(forward, forward.inputs), _operands(backward, backward.inputs)
    if any(a[name] != b[name] for name in _SHARED):
        return "the directions have different inputs or masks"
    if _shared_form(forward.op) != _shared_form(backward.op):
        return "the directions have different attributes"
    if forward.outputs[0].type != backward.outputs[0].type:
        return "the directions have different numbers of units"
    if any((a[name] is None) != (b[name] is None) for name in a):
        return "only one direction has a bias or initial states"
    if a["dropout"] is not None or a["recurrent_dropout"] is not None:
        return "there is dropout inside of the directions"
    gives_zeros = _attribute(forward, "zero_masked") and _attribute(backward, "zero_masked")
    if a["mask"] is not None and forward.outputs[0].name in uses and not gives_zeros:
        return "a masked step of the sequence is not 0"
    for one, other in zip(forward.outputs, backward.outputs, strict=True):
        num_joins = joins.get((one.name, other.name), 0)
        for value in (one, other):
            if uses.get(value.name, 0) != num_joins:
                return f"%{value.name} has other uses"
    return None


def _shared_form(op: Op) -> Op:
    assert isinstance(op, _DIRECTION)
    return dataclasses.replace(op, reverse=False, zero_masked=False)


def _pack(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...]:
    """The results of the bidirectional op in place of the two that the operands come from."""
    forward, backward = (new.producer(value) for value in operands)
    assert forward is not None and backward is not None, "both are kept until here"
    given = _operands(forward, forward.inputs)
    back = _operands(backward, backward.inputs)
    given.update((f"backward_{name}", value) for name, value in back.items())
    op = _bidirectional(forward.op)
    record_change("pack_directions")
    values = (given[name] for name in op.operand_names())
    return new.emit(op, *values, source=node.source)


def _bidirectional(op: Op) -> BidirectionalGru | BidirectionalLstm | BidirectionalRnn:
    assert isinstance(op, _DIRECTION)
    functions = (op.activation, op.recurrent_activation)
    match op:
        case Lstm():
            return BidirectionalLstm(*functions, time_major=op.time_major)
        case Gru():
            return BidirectionalGru(*functions, op.reset_after, time_major=op.time_major)
        case _:
            return BidirectionalRnn(*functions, time_major=op.time_major)
