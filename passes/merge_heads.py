"""Heads side by side, as products make them and as runtimes have attention."""

from __future__ import annotations

import dataclasses

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Attention, Reshape
from kcompile.passes.pattern import ANY, Match, P, apply_rules, rule


def _heads(name: str) -> P:
    return P(Reshape, ANY(name), shared=True)


@rule(
    P(
        Attention,
        *(_heads("q"), _heads("k"), _heads("v")),
        *(ANY("bias", optional=True), ANY("mask", optional=True)),
        name="attention",
        where=lambda op: op.num_heads is None,
    )
)
def attention_of_split_heads(match: Match) -> Value | None:
    """`attention(split(q), split(k), split(v)) = split(attention of heads side by side(q, k, v))`.

    `split` is a reshape of `[N, T, H * D]` to `[N, T, H, D]`.
    """
    node, op = match.node("attention"), match.op("attention", Attention)
    num_heads = node.output.type.shape[2]
    if not isinstance(num_heads, int):
        return None
    merged = dataclasses.replace(op, num_heads=num_heads)
    values = [match.value(name) for name in ("q", "k", "v")]
    for value, split in zip(values, node.inputs, strict=False):
        assert split is not None
        width = split.type.shape[2] * split.type.shape[3]
        if value.type.shape != (*split.type.shape[:2], width):
            return None
    y = match.emit(merged, *values, match.optional("bias"), match.optional("mask"))
    return match.emit(Reshape(node.output.type.shape), y)


def merge_heads(graph: Graph) -> Graph:
    """`graph` with attention on heads side by side, where they were split for it."""
    return apply_rules(graph, (attention_of_split_heads,))
