"""Biases into the products and convolutions that they are added to."""

from __future__ import annotations

from dataclasses import dataclass

from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Add, Conv, ConvTranspose, Linear, Matmul, Reshape
from kcompile.ir.ops.windows import channel_axis
from kcompile.passes.pattern import ANY, Match, P, Refused, apply_rules, rule
from kcompile.passes.rebuild import Rebuild


@dataclass(frozen=True)
class _BIAS(ANY):
    """A vector, or a weight with at most one axis longer than 1."""

    def accepts(self, value: Value, new: Rebuild) -> bool:
        if value.type.rank == 1:
            return True
        return new.is_fixed(value) and sum(size != 1 for size in value.type.shape) <= 1


def _as_vector(match: Match, rank: int, axis: int) -> Value | None:
    """The addend as `[C]`, if it has one number for each index along axis."""
    addend = match.value("addend")
    shape = (1,) * (rank - addend.type.rank) + addend.type.shape
    channels = match.root.output.type.shape[axis]
    if len(shape) > rank or any(n != (channels if i == axis else 1) for i, n in enumerate(shape)):
        return None
    if addend.type.rank == 1:
        return addend
    return match.emit(Reshape((channels,)), addend)


def _with_bias(match: Match, rank: int, axis: int) -> Value | None:
    """The bias that takes in the addend."""
    vector = _as_vector(match, rank, axis)
    known = match.optional("bias")
    if vector is None or known is None:
        return vector
    if not (match.new.is_known(known) and match.new.is_known(vector)):
        raise Refused("it has a bias already, and the sum of the two is not known")
    return match.emit(Add(), known, vector)


@rule(
    P(
        Add,
        P((Matmul, Linear), ANY("x"), ANY("w"), ANY("bias", optional=True), name="product"),
        _BIAS("addend"),
        commutative=True,
    )
)
def add_to_product(match: Match) -> Value | None:
    """`x w + b = linear(x, w, b)` for a matrix w and a vector b."""
    node, w = match.node("product"), match.value("w")
    rank = node.output.type.rank
    if w.type.rank != 2:
        return None
    bias = _with_bias(match, rank, rank - 1)
    if bias is None:
        return None
    return match.emit(Linear(), match.value("x"), w, bias, source=node.source)


@rule(
    P(
        Add,
        P((Conv, ConvTranspose), ANY("x"), ANY("w"), ANY("bias", optional=True), name="conv"),
        _BIAS("addend"),
        commutative=True,
    )
)
def add_to_conv(match: Match) -> Value | None:
    """`conv(x, w) + b = conv(x, w, b)` for one number in b per channel."""
    node = match.node("conv")
    op = node.op
    assert isinstance(op, Conv | ConvTranspose)
    rank = node.output.type.rank
    bias = _with_bias(match, rank, channel_axis(rank, op.data_format))
    if bias is None:
        return None
    return match.emit(op, match.value("x"), match.value("w"), bias, source=node.source)


@rule(
    P(
        Add,
        P(Reshape, P((Matmul, Linear), ANY("x"), ANY("w"), name="product"), name="reshape"),
        ANY("addend"),
        commutative=True,
    )
)
def add_to_split_product(match: Match) -> Value | None:
    """`reshape(x w) + b = reshape(x w + b)`, where the reshape splits the last axis, as b is."""
    product, shape = match.node("product").output, match.root.output.type.shape
    if match.node("reshape").output.type.shape != shape or len(match.node("product").inputs) > 2:
        return None
    leading, addend = product.type.rank - 1, match.value("addend")
    padded = (1,) * (len(shape) - addend.type.rank) + addend.type.shape
    split = shape[leading:]
    if (
        not match.new.is_fixed(addend)
        or shape[:leading] != product.type.shape[:-1]
        or padded != (1,) * leading + split
    ):
        return None
    row = match.emit(Reshape(product.type.shape[-1:]), addend)
    total = match.emit(Add(), product, row, source=match.node("product").source)
    return match.emit(Reshape(shape), total)


RULES = (add_to_split_product, add_to_product, add_to_conv)


def fuse_bias(graph: Graph) -> Graph:
    """`graph` with added vectors as the bias of the product or convolution before."""
    return apply_rules(graph, RULES)
