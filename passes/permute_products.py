"""Transposes before a product into its weights."""

from __future__ import annotations

import math

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Linear, Matmul, Reshape, Transpose
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, apply_rules, rule
from kcompile.passes.permutations import inverse


@rule(
    P(
        (Matmul, Linear),
        P(Reshape, P(Transpose, ANY("x"), name="transpose")),
        CONSTANT("w"),
        ANY("bias", optional=True),
        name="product",
    )
)
def product_of_flattened(match: Match) -> Value | None:
    """`flatten(transpose(x, p)) w = flatten(x) w'`, where w' has the rows of w in x's order.

    For all axes but the first, which stays the first.
    """
    node, w = match.node("product"), match.value("w")
    permutation = match.op("transpose", Transpose).permutation
    x = match.value("x")
    sizes = x.type.shape[1:]
    known = [size for size in sizes if isinstance(size, int)]
    flat = node.inputs[0]
    assert flat is not None
    if (
        permutation[0] != 0
        or w.type.rank != 2
        or len(known) != len(sizes)
        or flat.type.shape != (x.type.shape[0], math.prod(known))
    ):
        return None
    moved = [known[axis - 1] for axis in permutation[1:]]
    columns = w.type.shape[1]
    spread = match.emit(Reshape((*moved, columns)), w, source=node.source)
    back = [axis - 1 for axis in inverse(permutation)[1:]]
    ordered = match.emit(Transpose((*back, len(back))), spread, source=node.source)
    rows = match.emit(Reshape(w.type.shape), ordered, source=node.source)
    flat = match.emit(Reshape(flat.type.shape), x)
    return match.emit(node.op, flat, rows, match.optional("bias"), source=node.source)


def permute_products(graph: Graph) -> Graph:
    """`graph` with products on what is flattened in the order in which it is laid out."""
    return apply_rules(graph, (product_of_flattened,))
