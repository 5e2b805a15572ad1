"""Transposes beside normalizations and attention: moved past where that is exact, or left."""

from __future__ import annotations

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.graph import Graph
from kcompile.ir.op import Op
from kcompile.ir.types import DType, TensorType
from kcompile.passes.push_transposes import push_transposes
from kcompile.runtimes import reference
from tests.ops.cases import assert_same

BATCH = symbol("batch")


def surrounded(op: Op, before: tuple[int, ...], *weights: int) -> Graph:
    """`op` between a transpose and its inverse."""
    builder = Builder("model")
    x = builder.input("x", TensorType(DType.FLOAT32, (BATCH, 4, 3, 2)))
    operands = [
        builder.input(f"w{i}", TensorType(DType.FLOAT32, (size,))) for i, size in enumerate(weights)
    ]
    (moved,) = builder.emit(ops.Transpose(before), x)
    (y,) = builder.emit(op, moved, *operands)
    back = tuple(before.index(axis) for axis in range(4))
    (y,) = builder.emit(ops.Transpose(back), y)
    return builder.finish([("y", y)])


def num_transposes(graph: Graph) -> int:
    return sum(isinstance(node.op, ops.Transpose) for node in graph.nodes)


@pytest.mark.parametrize(
    ("op", "before", "weights", "left"),
    [
        (ops.GroupNorm(2), (0, 2, 3, 1), (4, 4), 0),
        (ops.GroupNorm(2, 2), (0, 3, 1, 2), (4,), 0),
        (ops.GroupNorm(2, 2), (1, 0, 3, 2), (), 2),
        (ops.LayerNorm(), (0, 2, 3, 1), (4, 4), 2),
        (ops.LayerNorm((1, 3)), (0, 2, 3, 1), (), 2),
        (ops.RmsNorm(), (0, 2, 3, 1), (4,), 2),
    ],
)
def test_the_numbers_stay(
    op: Op, before: tuple[int, ...], weights: tuple[int, ...], left: int
) -> None:
    graph = surrounded(op, before, *weights)
    pushed = push_transposes(graph)
    assert num_transposes(pushed) == left
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(3, 4, 3, 2)).astype("f")}
    arrays |= {f"w{i}": rng.normal(size=size).astype("f") for i, size in enumerate(weights)}
    (expected,) = reference.run(graph, arrays)[0].values()
    (found,) = reference.run(pushed, arrays)[0].values()
    assert_same(found, expected)


def test_attention_is_left_alone() -> None:
    builder = Builder("model")
    type = TensorType(DType.FLOAT32, (BATCH, 2, 5, 3))
    operands = [builder.input(name, type) for name in ("q", "k", "v")]
    moved = [builder.emit(ops.Transpose((0, 2, 1, 3)), value)[0] for value in operands]
    (y,) = builder.emit(ops.Attention(0.5, True), *moved)
    (y,) = builder.emit(ops.Transpose((0, 2, 1, 3)), y)
    graph = builder.finish([("y", y)])
    assert push_transposes(graph) == graph
